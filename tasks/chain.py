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
    letters of the corrupted prompt are others.
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
        return PromptPair(circle(clean, rng), circle(corrupt, rng), answers[:1], answers[1:])


def circle(letters: list[str], rng: random.Random) -> str:
    """The links from each letter to the next, and from the last to the first, in any order; then the first letter."""
    links = [*pairwise(letters), (letters[-1], letters[0])]
    words = [letter for link in rng.sample(links, len(links)) for letter in link]
    return "".join([":", *words, letters[0]])
