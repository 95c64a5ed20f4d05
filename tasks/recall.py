"""Recall of what came next (a circuit planted after Gupta et al. 2024, InterpBench): " d a c b a" -> " c"."""

import random
from typing import Any

from acdc import PromptPair, Task

LETTERS = tuple(f" {letter}" for letter in "abcdefghijklmnop")


class Recall(Task):
    """Different letters, then one of them again; the answer is the letter that came after it.

    Half of the corrupted prompts are another order of the same letters, half are other letters. Spans are `A`, where
    the last letter stood before, and `B`, the answer after it.

    Args:
        length: Letters before the last of every prompt, so that all have one length; by default several.
    """

    name = "recall"
    summary = "the letter that came after this one before"
    source = "planted as in Gupta et al. 2024, InterpBench (arXiv 2407.14494)"
    default_model = "recall-planted"
    shortest, longest = 4, 7

    def __init__(self, length: int | None = None) -> None:
        self.lengths = self.numbers("length", length, range(self.shortest, self.longest + 1))

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.require_single_tokens(tokenizer, LETTERS)
        return [self.pair(i, rng) for i in range(n)]

    def pair(self, i: int, rng: random.Random) -> PromptPair:
        """The i-th pair, with different answers."""
        letters = rng.sample(LETTERS, rng.choice(self.lengths))
        asked = rng.randrange(len(letters) - 1)
        while True:
            other = rng.sample(letters if i % 2 else LETTERS, len(letters))
            also = rng.randrange(len(letters) - 1)
            if letters[asked + 1] != other[also + 1] and letters[asked] != other[also]:
                break
        return PromptPair(
            "".join([*letters, letters[asked]]),
            "".join([*other, other[also]]),
            [letters[asked + 1]],
            [other[also + 1]],
            spans={"A": asked, "B": asked + 1},
        )
