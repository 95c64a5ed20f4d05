"""Balanced brackets (after Lindner et al. 2023, Tracr): "(()())?" -> " yes", "())(()?" -> " no"."""

import random
from typing import Any

from acdc import PromptPair, Task


class Brackets(Task):
    """Whether brackets are balanced.

    Half of the clean prompts are balanced, and their corrupted twins are wrong in both ways: a bracket closes that is
    not open, and the numbers differ. The other clean prompts are wrong in just one way, and their twins are balanced.
    Spans are the `brackets` and `end`, the question mark.

    Args:
        length: Brackets of every prompt, an even number, so that all have one length; by default several.
    """

    name = "brackets"
    summary = "whether brackets are balanced"
    source = "after Lindner et al. 2023, Tracr (arXiv 2301.05062)"
    default_model = "brackets-compiled"
    longest = 12

    def __init__(self, length: int | None = None) -> None:
        self.lengths = self.numbers("length", length, range(4, self.longest + 1, 2))

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.require_single_tokens(tokenizer, ("(", ")", "?", " yes", " no"))
        return [self.pair(i, rng) for i in range(n)]

    def pair(self, i: int, rng: random.Random) -> PromptPair:
        """The i-th pair: every second one is balanced."""
        length = rng.choice(self.lengths)
        faulty = (True, True) if i % 2 == 0 else rng.choice([(True, False), (False, True)])
        good, bad = (brackets(length, *faults, rng) + "?" for faults in ((False, False), faulty))
        (clean, right), (corrupt, wrong) = ((good, " yes"), (bad, " no"))[:: 1 if i % 2 == 0 else -1]
        return PromptPair(clean, corrupt, [right], [wrong], spans={"brackets": (0, -1)})


def brackets(length: int, closes_early: bool, uneven: bool, rng: random.Random) -> str:
    """Random brackets with just these faults."""
    while True:
        text = rng.choices("()", k=length) if uneven else rng.sample("()" * (length // 2), length)
        depths = [2 * text[: i + 1].count("(") - i - 1 for i in range(length)]
        if (min(depths) < 0, depths[-1] != 0) == (closes_early, uneven):
            return "".join(text)
