"""The neighbour in the alphabet (a circuit planted after Gupta et al. 2024, InterpBench): " d b a g+" -> " e"."""

import random
from typing import Any

from acdc import PromptPair, Task

LETTERS = tuple(f" {letter}" for letter in "abcdefghij")
SIGNS = ("+", "-")


class Neighbor(Task):
    """Letters and a sign; the answer is the letter after the first one in the alphabet, with - the one before it.

    The alphabet goes round. The corrupted prompt has other letters, in half of the pairs the other sign too. Spans are
    the `first` letter and the `sign`.

    Args:
        length: Letters of every prompt, so that all have one length; by default several.
    """

    name = "neighbor"
    summary = "the letter after the first one in the alphabet, or before it"
    source = "planted as in Gupta et al. 2024, InterpBench (arXiv 2407.14494)"
    default_model = "neighbor-planted"
    shortest, longest = 3, 6

    def __init__(self, length: int | None = None) -> None:
        self.lengths = self.numbers("length", length, range(self.shortest, self.longest + 1))

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.require_single_tokens(tokenizer, (*LETTERS, *SIGNS))
        return [self.pair(i, rng) for i in range(n)]

    def pair(self, i: int, rng: random.Random) -> PromptPair:
        """The i-th pair, with different answers."""
        length, sign = rng.choice(self.lengths), rng.randrange(2)
        while True:
            one, other = (rng.sample(range(len(LETTERS)), length) for _ in range(2))
            right, wrong = answer(one[0], sign), answer(other[0], sign ^ (i % 2))
            if one[0] != other[0] and right != wrong:
                break
        return PromptPair(
            text_of(one, sign),
            text_of(other, sign ^ (i % 2)),
            [LETTERS[right]],
            [LETTERS[wrong]],
            spans={"first": 0, "sign": -1},
        )


def answer(first: int, sign: int) -> int:
    """The letter after `first`, or with sign 1 before it."""
    return (first + 1 - 2 * sign) % len(LETTERS)


def text_of(letters: list[int], sign: int) -> str:
    """The prompt."""
    return "".join(LETTERS[letter] for letter in letters) + SIGNS[sign]
