"""A chain of links (pointer chasing): ": c d f a a b d e e f b c a" -> " e", four links on from the last letter."""

import random
from itertools import pairwise
from string import ascii_lowercase
from typing import Any

from acdc import PromptPair, Task

LETTERS = tuple(f" {letter}" for letter in ascii_lowercase[:12])


class Chain(Task):
    """Pairs of letters in any order, each a link from the first to the second, and then the letter to start from.

    The links go round in a circle of six, so that no letter is where all ways end; the answer is four links on. All
    letters of the corrupted prompt are others. Spans are the first and second letters of the links that are followed,
    `from1` and `to1` to `from4` and `to4`.
    """

    name = "chain"
    summary = "follow four links from letter to letter"
    source = "made to have a chain of four queries: see docs/ground-truth.md"
    default_model = "chain-compiled"
    hops = 4

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs."""
        self.require_single_tokens(tokenizer, (":", *LETTERS))
        return [self.pair(rng) for _ in range(n)]

    def pair(self, rng: random.Random) -> PromptPair:
        """Two circles without a common letter."""
        letters = rng.sample(LETTERS, len(LETTERS))
        half = len(letters) // 2
        clean, corrupt = letters[:half], letters[half:]
        answers = [side[self.hops] for side in (clean, corrupt)]
        links, others = (circle(side, rng) for side in (clean, corrupt))
        starts = [1 + 2 * links.index(link) for link in pairwise(clean[: self.hops + 1])]
        spans = {f"{end}{k + 1}": start + (end == "to") for k, start in enumerate(starts) for end in ("from", "to")}
        return PromptPair(text_of(links, clean), text_of(others, corrupt), answers[:1], answers[1:], spans=spans)


def circle(letters: list[str], rng: random.Random) -> list[tuple[str, str]]:
    """The links from each letter to the next, and from the last to the first, in any order."""
    links = [*pairwise(letters), (letters[-1], letters[0])]
    return rng.sample(links, len(links))


def text_of(links: list[tuple[str, str]], letters: list[str]) -> str:
    """The links, and the letter to start from."""
    return "".join([":", *(letter for link in links for letter in link), letters[0]])
