"""Recall against suppression (after McDougall et al. 2023, copy suppression): " d a c b a" -> " c"."""

import random
from string import ascii_lowercase
from typing import Any

from acdc import PromptPair, Task

LETTERS = tuple(f" {letter}" for letter in ascii_lowercase)


class Suppression(Task):
    """Different letters, then one of them again; the answer is the letter that came after it.

    All letters of the corrupted prompt are others. The metric is the logit difference, as in work on negative heads: a
    node that works against the answer makes it smaller. (KL counts any change of the prediction, whatever its sign.)
    Spans are `A`, where the last letter stood before, and `B`, the answer after it.

    Args:
        length: Letters before the last of every prompt, so that all have one length; by default several.
    """

    name = "suppression"
    summary = "the letter that came after this one before, which a head works against"
    source = "after McDougall et al. 2023, Copy suppression (arXiv 2310.04625)"
    metric = "logit_diff"
    default_model = "suppression-compiled"
    shortest, longest = 5, 12

    def __init__(self, length: int | None = None) -> None:
        self.lengths = self.numbers("length", length, range(self.shortest, self.longest + 1))

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.require_single_tokens(tokenizer, LETTERS)
        return [self.pair(rng) for _ in range(n)]

    def pair(self, rng: random.Random) -> PromptPair:
        """Two sequences without a common letter."""
        length = rng.choice(self.lengths)
        drawn = rng.sample(LETTERS, 2 * length)
        clean, corrupt = drawn[:length], drawn[length:]
        asked, other = (rng.randrange(1, length - 1) for _ in range(2))  # not the first letter
        return PromptPair(
            "".join([*clean, clean[asked]]),
            "".join([*corrupt, corrupt[other]]),
            [clean[asked + 1]],
            [corrupt[other + 1]],
            spans={"A": asked, "B": asked + 1},
        )
