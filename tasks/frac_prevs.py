"""The share of previous tokens that are x (after Lindner et al. 2023, Tracr): " a x b x" -> " five", in tenths."""

import random
from string import ascii_lowercase
from typing import Any

from acdc import PromptPair, Task

LETTERS = tuple(f" {letter}" for letter in ascii_lowercase)
TENTHS = tuple(
    f" {word}" for word in ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "all")
)


class FracPrevs(Task):
    """The share of the letters so far that are x, in tenths, rounded down.

    Both sides have the same number of letters; the corrupted one has another share. Spans are the `letters` but for the
    last, and `end`.

    Args:
        length: Letters of every prompt, so that all have one length; by default several.
    """

    name = "frac-prevs"
    summary = "the share of the letters so far that are x, in tenths"
    source = "after Lindner et al. 2023, Tracr (arXiv 2301.05062)"
    default_model = "frac-prevs-compiled"
    longest = 12

    def __init__(self, length: int | None = None) -> None:
        self.lengths = self.numbers("length", length, range(3, self.longest + 1))

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.require_single_tokens(tokenizer, (*LETTERS, *TENTHS))
        return [self.pair(rng) for _ in range(n)]

    def pair(self, rng: random.Random) -> PromptPair:
        """Two sequences of one length in which x stands a different number of times."""
        length = rng.choice(self.lengths)
        while True:
            clean, corrupt = (rng.randint(0, length) for _ in range(2))
            if 10 * clean // length != 10 * corrupt // length:
                break
        texts = [text_of(length, count, rng) for count in (clean, corrupt)]
        right, wrong = (TENTHS[10 * count // length] for count in (clean, corrupt))
        return PromptPair(texts[0], texts[1], [right], [wrong], spans={"letters": (0, -1)})


def text_of(length: int, count: int, rng: random.Random) -> str:
    """Letters of which `count` are x."""
    others = [letter for letter in LETTERS if letter != " x"]
    letters = [" x"] * count + [rng.choice(others) for _ in range(length - count)]
    rng.shuffle(letters)
    return "".join(letters)
