"""Induction (Olsson et al. 2022): random tokens, and then the same again: "… A B … A" -> "B"."""

import random

from acdc import PromptPair, TaskError, Words, WordTask

CORRUPTIONS = ("random", "first-half")


class Induction(WordTask):
    """Different random tokens, then at least the first two of them again, in order; the next one is the answer.

    So the token that is looked for is never the first one of the prompt, which models attend to whatever it is, and the
    answer stands anywhere from the third on. Before the tokens stands what the tokenizer puts before a text.

    Discovery and held-out pairs share no token where the tokenizer has twice as many as a prompt draws from, else no
    sequence. Spans are `A`, where the last token stood before, and `B`, the answer after it.

    Args:
        corruption: `random` (other random tokens at all positions, of which none repeats) or `first-half` (only the
            first copy is replaced, so that the last tokens stay and repeat nothing).
        length: Tokens of the first copy; at least three.
        repeated: How many of them every prompt repeats, so that all have one length; by default any number from two.
    """

    name = "induction"
    summary = "continue a repeated sequence of random tokens"
    source = "Olsson et al. 2022, In-context learning and induction heads (arXiv 2209.11895)"
    gradient_metric = "nll"
    bare_ids = True

    def __init__(self, corruption: str = "random", length: int = 10, repeated: int | None = None) -> None:
        self.corruption = self.choice("corruption", corruption, CORRUPTIONS)
        if isinstance(length, bool) or not isinstance(length, int) or length < 3:
            raise TaskError(f"induction's length must be a whole number of at least 3, not {length!r}")
        self.length, self.repeated = length, self.numbers("repeated", repeated, range(2, length))

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths, as token ids; the second copy is cut at random before its last token."""
        special = set(words.tokenizer.all_special_ids)
        tokens, least = [token for token in range(len(words.tokenizer)) if token not in special], 3 * self.length
        if len(tokens) < least:
            raise TaskError(
                f"induction with length {self.length} needs {least} tokens to draw from; the tokenizer of "
                f"{words.tokenizer.name_or_path!r} has {len(tokens)} ordinary ones"
            )
        if len(tokens) >= 2 * least:
            tokens = words.split(tokens, every=2)
        return [self.pair(tokens, rng) for _ in range(n)]

    def pair(self, tokens: list[int], rng: random.Random) -> PromptPair:
        """One pair; all tokens of its two sides are drawn without repetition."""
        repeated = rng.choice(self.repeated)
        drawn = rng.sample(tokens, 2 * self.length + repeated)
        first, other, fresh = drawn[: self.length], drawn[self.length : 2 * self.length], drawn[2 * self.length :]
        again = first[:repeated] if self.corruption == "first-half" else fresh
        spans = {"A": repeated - 1, "B": repeated}
        return PromptPair(first + first[:repeated], other + again, correct=[first[repeated]], spans=spans)
