"""The card of a feature in a graph: what the graph knows of it and, where its dictionary was read, what it fires on."""

from collections.abc import Iterable
from dataclasses import replace

from acdc.features.reading import FeatureCard, FeatureReading, card_of
from acdc.report.cards import Card, ClaimView
from acdc.report.feature_page import accuracy, detection, verdict_of
from acdc.report.text import number, share, token
from acdc.report.words import words

__all__ = ["MOST_READ", "bare_card", "with_reading"]

MOST_READ = 150  # features of a page whose readings it shows: a rule is looked for and tested for each
EXAMPLES = 4


def bare_card(name: str, title: str, kind: str, sentence: str, facts: Iterable[tuple[str, str, str]]) -> Card:
    """What a graph itself knows of a node.

    Args:
        facts: Name, number, and what it is; those without a number are left out.
    """
    known = tuple(fact for fact in facts if fact[1])
    return Card(name, kind, sentence, (), known, (), (), has_patterns=False, title=title)


def with_reading(card: Card, reading: FeatureReading, index: int) -> Card:
    """The card with the feature's rule, its numbers, its tokens and logits, and the texts in which it fires most."""
    found = card_of(reading, index)
    return replace(
        card,
        sentence=f"{card.sentence} {_sentence(found)}",
        label="" if found.rule is None or found.rule.test.holds is False else found.rule.text,
        claims=_rule(found),
        facts=(*card.facts, *_facts(found, reading)),
        lists=tuple(
            (name, tuple((token(text), show(value)) for text, value in pairs))
            for name, pairs, show in (
                ("fires on", found.on, share),
                ("fires after", found.after, share),
                ("raises the logits of", found.raises, number),
                ("lowers the logits of", found.lowers, number),
            )
            if pairs
        ),
        examples=tuple(tuple(words(window, found.act_max)) for window in found.top[:EXAMPLES]),
    )


def _sentence(found: FeatureCard) -> str:
    return f"No rule: {found.no_rule}." if found.rule is None else f"By its rule it {found.rule.text}."


def _rule(found: FeatureCard) -> tuple[ClaimView, ...]:
    if found.rule is None:
        return ()
    test = found.rule.test
    score = f"{detection(test)}, fuzzing {accuracy(test.fuzzing)}"
    about = "balanced accuracy, chance 0.5, on windows that the rule was not found on" + (test.why and f" ({test.why})")
    return (ClaimView("rule", score, verdict_of(test), about),)


def _facts(found: FeatureCard, reading: FeatureReading) -> tuple[tuple[str, str, str], ...]:
    of = f"of {reading.about.n_tokens:,} tokens of {reading.about.corpus}"
    largest = f"and {number(found.act_mean)} in the mean where it fires" if found.n_fires else "it never fires"
    return ("density", share(found.density), of), ("largest activation", number(found.act_max), largest)
