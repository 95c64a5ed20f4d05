"""Induction (Olsson et al. 2022): random tokens, and then the same again: "… A B … A" -> "B"."""

import random
from typing import Any

from acdc import PromptPair, Task, TaskError

CORRUPTIONS = ("random", "first-half")


class Induction(Task):
    """Different random tokens, then the first of them again, in order; the next one is the answer.

    Args:
        corruption: `random` (other random tokens everywhere, of which none repeats) or `first-half` (only the first
            copy is replaced, so that the last tokens stay and what they repeat goes).
        length: Tokens of the first copy.
    """

    name = "induction"
    summary = "continue a repeated sequence of random tokens"
    source = "Olsson et al. 2022, In-context learning and induction heads (arXiv 2209.11895)"
    gradient_metric = "nll"

    def __init__(self, corruption: str = "random", length: int = 10) -> None:
        if corruption not in CORRUPTIONS:
            raise TaskError(f"induction has no corruption {corruption!r}; it has {', '.join(CORRUPTIONS)}")
        if not isinstance(length, int) or length < 2:
            raise TaskError(f"induction's length must be a whole number of at least 2, not {length!r}")
        self.corruption, self.length = corruption, length

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths, as token ids; the second copy is cut at random before its last token."""
        special = set(tokenizer.all_special_ids)
        words = [token for token in range(len(tokenizer)) if token not in special]
        if len(words) < 3 * self.length:
            raise TaskError(
                f"induction with length {self.length} needs {3 * self.length} tokens to draw from; the tokenizer of "
                f"{tokenizer.name_or_path!r} has {len(words)} ordinary ones"
            )
        return [self.pair(words, rng) for _ in range(n)]

    def pair(self, words: list[int], rng: random.Random) -> PromptPair:
        """One pair; all tokens of its two sides are drawn without repetition."""
        repeated = rng.randint(1, self.length - 1)
        drawn = rng.sample(words, 2 * self.length + repeated)
        first, other, fresh = drawn[: self.length], drawn[self.length : 2 * self.length], drawn[2 * self.length :]
        again = first[:repeated] if self.corruption == "first-half" else fresh
        return PromptPair(first + first[:repeated], other + again, correct=[first[repeated]])
