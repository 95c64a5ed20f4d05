"""Factual recall (Meng et al. 2022): "The capital of France is" -> " Paris"."""

import random
from collections import Counter
from typing import Any

from acdc import PromptPair, Task, TaskError, single_token, spellable, split_words

from .words import CAPITAL_TEMPLATES, COUNTRIES, OTHER_RELATIONS

CORRUPTIONS = ("other-country", "other-relation")


class Capitals(Task):
    """The capital of a country; capitals are single tokens, and countries of one pair have equally many tokens.

    Discovery and held-out pairs share no country, no capital and no template.

    Args:
        corruption: `other-country` (the same question about another country) or `other-relation` (another question
            about the same country: its history, climate, language or culture).
    """

    name = "capitals"
    summary = "the capital of a country"
    source = "Meng et al. 2022 (arXiv 2202.05262), Merullo et al. 2023 (arXiv 2305.16130)"
    default_model = "acdc-tasks"

    def __init__(self, corruption: str = "other-country") -> None:
        if corruption not in CORRUPTIONS:
            raise TaskError(f"capitals has no corruption {corruption!r}; it has {', '.join(CORRUPTIONS)}")
        self.corruption = corruption

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the wrong answer is the other country's capital."""
        return self.draw(tokenizer, n, rng, held_out=False)

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of other countries and templates."""
        return self.draw(tokenizer, n, rng, held_out=True)

    def draw(self, tokenizer: Any, n: int, rng: random.Random, *, held_out: bool) -> list[PromptPair]:
        """`n` pairs of one side of the countries and templates."""
        facts = split_words(expressible(tokenizer), held_out=held_out)
        lengths = {country: token_count(tokenizer, country) for country, _ in facts}
        twins = Counter(lengths.values())
        facts = [(country, capital) for country, capital in facts if twins[lengths[country]] > 1]
        if not facts:
            raise TaskError(
                "capitals needs two countries of equally many tokens whose capitals are single tokens with their "
                f"leading space{', and held out' if held_out else ''}; the tokenizer of "
                f"{tokenizer.name_or_path!r} has no two"
            )
        templates = split_words(spellable(tokenizer, CAPITAL_TEMPLATES), held_out=held_out)
        relations = spellable(tokenizer, OTHER_RELATIONS) if self.corruption == "other-relation" else []
        return [self.pair(facts, lengths, rng.choice(templates), relations, rng) for _ in range(n)]

    def pair(
        self,
        facts: list[tuple[str, str]],
        lengths: dict[str, int],
        template: str,
        relations: list[str],
        rng: random.Random,
    ) -> PromptPair:
        """One pair; the two sides differ in the country or in what is asked of it."""
        country, capital = rng.choice(facts)
        other, other_capital = rng.choice(
            [fact for fact in facts if fact[0] != country and lengths[fact[0]] == lengths[country]]
        )
        what = rng.choice(relations) if relations else "capital"
        clean = template.format(what="capital", country=country)
        corrupt = template.format(what=what, country=country if relations else other)
        return PromptPair(clean, corrupt, correct=[f" {capital}"], wrong=[f" {other_capital}"])


def expressible(tokenizer: Any) -> list[tuple[str, str]]:
    """The countries that the tokenizer can spell, with their capitals, which are single tokens."""
    known = set(spellable(tokenizer, [country for country, _ in COUNTRIES]))
    return [fact for fact in COUNTRIES if fact[0] in known and single_token(tokenizer, f" {fact[1]}") is not None]


def token_count(tokenizer: Any, country: str) -> int:
    """Tokens of the country with the space before it."""
    return len(tokenizer.encode(f" {country}", add_special_tokens=False))
