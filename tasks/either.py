"""Either of two statements: " a so= k c but! k d" -> " k", stated twice, each time enough; " none" where nothing is."""

import random
from string import ascii_lowercase
from typing import Any

from acdc import PromptPair, Task

LETTERS = tuple(f" {letter}" for letter in ascii_lowercase[:20])
FILLERS = (" so", " and", " then", " but")
SIGNS = ("=", "!")
NONE = " none"


class Either(Task):
    """Different letters, among them one that is stated twice, once after each sign; the answer is that letter.

    Either statement is enough. The corrupted prompt has other letters, and fillers in place of the statements: nothing
    is stated there, and its answer is none. Spans are the signs, `equals` and `bang`; a letter behind one may be the
    last token.

    Args:
        length: Words of every prompt, so that all have one length; by default several.
    """

    name = "either"
    summary = "a letter that is stated twice, each time enough"
    source = "made to have an OR: see docs/ground-truth.md"
    default_model = "either-compiled"
    shortest, longest = 12, 16

    def __init__(self, length: int | None = None) -> None:
        self.lengths = self.numbers("length", length, range(self.shortest, self.longest + 1))

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.require_single_tokens(tokenizer, (*LETTERS, *FILLERS, *SIGNS, NONE))
        return [self.pair(rng) for _ in range(n)]

    def pair(self, rng: random.Random) -> PromptPair:
        """Two prompts that differ in every word, with the statements in either order."""
        length = rng.choice(self.lengths)
        first, second = sorted(rng.sample(range(length - 4), 2))
        starts = (first + 1, second + 3)  # a word before each, so no prompt starts with a sign
        letters = rng.sample(LETTERS, length)
        clean, corrupt = words(length, letters[1:], rng), words(length, letters[1:], rng)
        for start, sign in zip(starts, rng.sample(SIGNS, 2), strict=True):
            clean[start : start + 2] = [sign, letters[0]]
            corrupt[start : start + 2] = rng.choices(FILLERS, k=2)
        spans = dict(zip(("equals", "bang"), map(clean.index, SIGNS), strict=True))
        return PromptPair("".join(clean), "".join(corrupt), [letters[0]], [NONE], spans=spans)


def words(length: int, letters: list[str], rng: random.Random) -> list[str]:
    """Letters, each once, and fillers."""
    drawn = iter(rng.sample(letters, len(letters)))
    return [next(drawn) if rng.random() < 0.5 else rng.choice(FILLERS) for _ in range(length)]
