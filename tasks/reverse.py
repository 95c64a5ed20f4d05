"""Reversal (after Lindner et al. 2023, Tracr): " a b c d: d c" -> " b"."""

import random
from string import ascii_lowercase
from typing import Any

from acdc import PromptPair, Task

LETTERS = tuple(f" {letter}" for letter in ascii_lowercase)


class Reverse(Task):
    """Different letters, a colon, and their reversal up to some word.

    The corrupted prompt has other letters, and its colon elsewhere, so that another position is to be copied. The
    letter to be copied is a span, `copied`.

    Args:
        length: Tokens of every prompt, so that all have one length; by default several.
    """

    name = "reverse"
    summary = "say a sequence of letters backwards"
    source = "after Lindner et al. 2023, Tracr (arXiv 2301.05062)"
    default_model = "reverse-compiled"
    shortest, longest = 3, 7

    def __init__(self, length: int | None = None) -> None:
        ends = range(self.shortest + 2, 2 * self.longest - 1)  # of the shorter sequence there is a word to say
        self.lengths = self.numbers("length", length, ends)

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.require_single_tokens(tokenizer, (*LETTERS, ":"))
        return [self.pair(rng) for _ in range(n)]

    def pair(self, rng: random.Random) -> PromptPair:
        """Two reversals of sequences of different lengths, cut after the same number of tokens."""
        lengths = range(self.shortest, self.longest + 1)
        while True:
            one, other = rng.sample(lengths, 2)
            both = range(max(one, other), 2 * min(one, other))  # the target, where both still have a word to say
            if ends := [end for end in both if end + 1 in self.lengths]:
                break
        end, letters = rng.choice(ends), rng.sample(LETTERS, one + other)
        clean, corrupt = letters[:one], letters[one:]
        copied, wrong = 2 * one - 1 - end, 2 * other - 1 - end
        return PromptPair(
            reversal(clean, end),
            reversal(corrupt, end),
            [clean[copied]],
            [corrupt[wrong]],
            spans={"copied": copied},
        )


def reversal(letters: list[str], end: int) -> str:
    """The letters, a colon, and as much of the reversal as makes the token at position `end` the last."""
    return "".join([*letters, ":", *letters[::-1][: end - len(letters)]])
