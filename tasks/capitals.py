"""Factual recall (Meng et al. 2022): "The capital of France is" -> " Paris"."""

import random
from collections import Counter
from typing import Any

from acdc import PromptPair, Words, WordTask, single_token, spellable, word_spans

COUNTRIES: tuple[tuple[str, str], ...] = tuple(
    (country, capital)
    for country, _, capital in (
        fact.partition("-")
        for fact in """
        France-Paris England-London Germany-Berlin Italy-Rome Spain-Madrid Japan-Tokyo Russia-Moscow China-Beijing
        Egypt-Cairo Greece-Athens Austria-Vienna Poland-Warsaw Ireland-Dublin Norway-Oslo Sweden-Stockholm
        Finland-Helsinki Portugal-Lisbon Belgium-Brussels Canada-Ottawa Australia-Canberra Thailand-Bangkok
        Indonesia-Jakarta Philippines-Manila Vietnam-Hanoi Cuba-Havana Peru-Lima Chile-Santiago Iraq-Baghdad Iran-Tehran
        Afghanistan-Kabul Syria-Damascus Lebanon-Beirut Turkey-Ankara Hungary-Budapest Kenya-Nairobi
        Libya-Tripoli Qatar-Doha Venezuela-Caracas Denmark-Copenhagen Pakistan-Islamabad Bangladesh-Dhaka
        Netherlands-Amsterdam Bulgaria-Sofia Serbia-Belgrade Romania-Bucharest Tunisia-Tunis Algeria-Algiers
        Morocco-Rabat Uganda-Kampala Nepal-Kathmandu Jamaica-Kingston
        """.split()
    )
)

# {what} is "capital", or in the counterfactual `other-relation` one of the other relations.
TEMPLATES: tuple[str, ...] = (
    "The {what} of {country} is",
    "We know that the {what} of {country} is",
    "They say that the {what} of {country} is",
    "In this book the {what} of {country} is",
    "Everyone says that the {what} of {country} is",
    "As you know, the {what} of {country} is",
    "My friend says the {what} of {country} is",
    "Of course the {what} of {country} is",
)
OTHER_RELATIONS: tuple[str, ...] = ("history", "climate", "language", "culture")

CORRUPTIONS = ("other-country", "other-relation")


class Capitals(WordTask):
    """The capital of a country; capitals are single tokens, and countries of one pair have equally many tokens.

    Discovery and held-out pairs share no country, no capital and no template. Spans are the `relation` (the word
    "capital") and the `country`.

    Args:
        corruption: `other-country` (the same question about another country) or `other-relation` (another question
            about the same country: its history, climate, language or culture).
    """

    name = "capitals"
    summary = "the capital of a country"
    source = "Meng et al. 2022 (arXiv 2202.05262), Merullo et al. 2023 (arXiv 2305.16130)"
    default_model = "acdc-tasks"

    def __init__(self, corruption: str = "other-country") -> None:
        self.corruption = self.choice("corruption", corruption, CORRUPTIONS)

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the wrong answer is the other country's capital."""
        facts = words.split(expressible(words.tokenizer))
        lengths = {country: token_count(words.tokenizer, country) for country, _ in facts}
        twins = Counter(lengths.values())
        facts = [(country, capital) for country, capital in facts if twins[lengths[country]] > 1]
        words.need(facts, "countries of equally many tokens, whose capitals are single tokens", least=2)
        templates = words.spellable(TEMPLATES)
        relations = spellable(words.tokenizer, OTHER_RELATIONS) if self.corruption == "other-relation" else []
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
        asked = (
            {"relation": "capital", "country": country},
            {"relation": what, "country": country if relations else other},
        )
        clean, corrupt = (template.format(what=side["relation"], country=side["country"]) for side in asked)
        wrong = [f" {other_capital}"]
        return PromptPair(clean, corrupt, correct=[f" {capital}"], wrong=wrong, spans=word_spans(*asked))


def expressible(tokenizer: Any) -> list[tuple[str, str]]:
    """The countries that the tokenizer can spell, with their capitals, which are single tokens."""
    known = set(spellable(tokenizer, [country for country, _ in COUNTRIES]))
    return [fact for fact in COUNTRIES if fact[0] in known and single_token(tokenizer, f" {fact[1]}") is not None]


def token_count(tokenizer: Any, country: str) -> int:
    """Tokens of the country with the space before it."""
    return len(tokenizer.encode(f" {country}", add_special_tokens=False))
