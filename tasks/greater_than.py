"""Greater-than (Hanna et al. 2023): "The war lasted from the year 1732 to the year 17" -> "33" to "99"."""

import random
from typing import Any

from acdc import PromptPair, Task, TaskError, single_token, spellable, split_words

from .words import CENTURIES, EVENT_NOUNS, YEAR_TEMPLATE

YEARS = range(2, 99)  # of a century; 01 is the corrupted one, and 99 has none after it


class GreaterThan(Task):
    """A war's last year comes after its first; the corrupted prompt starts in year 01, after which any year may come.

    The tokenizer must split a year into its century and two digits, as GPT-2's splits " 1732" into " 17" and "32".
    Years that it writes otherwise are left out. Discovery and held-out pairs share no noun and no start year of a
    century; the centuries and the sentence are too few to be split.
    """

    name = "greater-than"
    summary = "the second year of a span is later than the first"
    source = "Hanna et al. 2023, How does GPT-2 compute greater-than? (arXiv 2305.00586)"
    metric = "prob_diff"

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; right answers are the later two-digit years, wrong ones the start year and those before it."""
        return self.draw(tokenizer, n, rng, held_out=False)

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of other nouns and start years."""
        return self.draw(tokenizer, n, rng, held_out=True)

    def draw(self, tokenizer: Any, n: int, rng: random.Random, *, held_out: bool) -> list[PromptPair]:
        """`n` pairs of one side of the nouns and years."""
        digits = {year: f"{year:02d}" for year in range(100) if single_token(tokenizer, f"{year:02d}") is not None}
        spans = [
            (century, year)
            for century in CENTURIES
            if splits(tokenizer, century, 1)
            for year in split_words(YEARS, held_out=held_out)
            if year in digits and splits(tokenizer, century, year)
        ]
        if len(digits) < 100 or not spans:
            pieces = tokenizer.convert_ids_to_tokens(tokenizer.encode(" 1732", add_special_tokens=False))
            raise TaskError(
                f"greater-than needs a tokenizer that splits a year into two two-digit tokens (' 17', '32'); that of "
                f"{tokenizer.name_or_path!r} splits ' 1732' into {pieces}"
            )
        spellable(tokenizer, [YEAR_TEMPLATE])
        nouns = split_words(spellable(tokenizer, EVENT_NOUNS), held_out=held_out)
        return [self.pair(rng.choice(nouns), *rng.choice(spans), digits) for _ in range(n)]

    def pair(self, noun: str, century: int, start: int, digits: dict[int, str]) -> PromptPair:
        """One pair; the two sides differ only in the start year."""
        clean, corrupt = (YEAR_TEMPLATE.format(noun=noun, century=century, start=f"{year:02d}") for year in (start, 1))
        later = [text for year, text in digits.items() if year > start]
        earlier = [text for year, text in digits.items() if year <= start]
        return PromptPair(clean, corrupt, correct=later, wrong=earlier)


def splits(tokenizer: Any, century: int, year: int) -> bool:
    """Whether the year is two tokens, its century and its two digits."""
    ids = tokenizer.encode(f" {century}{year:02d}", add_special_tokens=False)
    return ids == [single_token(tokenizer, f" {century}"), single_token(tokenizer, f"{year:02d}")]
