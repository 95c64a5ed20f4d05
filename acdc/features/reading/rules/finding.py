"""The search for the simplest rule that fits."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import Fit, Rule
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.slices import BEFORE
from acdc.registry import declared

__all__ = ["LEAST_F1", "find_rule", "fit_of"]

LEAST_F1, NEARLY = 0.5, 0.05
PACKAGE = "acdc.features.reading.rules"

Tried = list[tuple[Rule, Fit]]
Proposing = Callable[[Seen, Seen], Iterator[Rule]]  # from examples and the text
Narrowing = Callable[[Rule, Seen, Seen], Iterator[Rule]]  # from a rule, the examples that it says, and the text


@cache
def _proposing() -> list[Proposing]:
    return declared(f"{PACKAGE}.kinds", "PROPOSED")


@cache
def _narrowing() -> list[Narrowing]:
    return declared(f"{PACKAGE}.narrowing", "NARROWED")


def find_rule(
    examples: Seen, text: Seen, counted: Bool[np.ndarray, "window width"], n_fires: int
) -> tuple[Rule, Fit] | None:
    """The simplest rule that fits; None where none does.

    Args:
        examples: Slices around random tokens on which the feature fires (column `BEFORE`).
        text: The whole text; `counted` the tokens of it that count.
        n_fires: On how many of them the feature fires.
    """
    if not len(examples.ids):
        return None
    plain = [rule for propose in _proposing() for rule in propose(examples, text)]
    tried = _tried(plain, examples, text, counted, n_fires)
    narrower = [rule for wide in _to_narrow(tried) for rule in _narrower(wide, examples, text)]
    tried += _tried(narrower, examples, text, counted, n_fires)
    best, always = max((fit.f1 for _, fit in tried), default=0.0), Fit(1.0, n_fires / int(counted.sum())).f1
    if best < max(LEAST_F1, always + NEARLY):
        return None
    return min((each for each in tried if each[1].f1 >= max(best - NEARLY, always)), key=lambda each: each[0].cost)


def fit_of(rule: Rule, examples: Seen, text: Seen, counted: Bool[np.ndarray, "window width"], n_fires: int) -> Fit:
    """How well it fits, by these examples and how often it says yes in the text."""
    recall = float(rule.says(examples)[:, BEFORE].mean())
    often = int((rule.says(text) & counted).sum()) if recall else 0
    return Fit(recall, min(1.0, recall * n_fires / often) if often else 0.0)


def _tried(
    rules: Sequence[Rule], examples: Seen, text: Seen, counted: Bool[np.ndarray, "window width"], n_fires: int
) -> Tried:
    """Rules with their fits, but for those that say so few of the examples that they can't be chosen."""
    least = (LEAST_F1 - NEARLY) / (2 - LEAST_F1 + NEARLY)  # recall of that F1, if precision is 1
    hopeful = [rule for rule in dict.fromkeys(rules) if rule.says(examples)[:, BEFORE].mean() >= least]
    return [(rule, fit_of(rule, examples, text, counted, n_fires)) for rule in hopeful]


def _to_narrow(tried: Tried) -> Iterator[Rule]:
    """Rules of the token itself that say too much: the one that says most of the feature's tokens, and the best one."""
    wide = [(rule, fit) for rule, fit in tried if rule.place == "on" and fit.precision < 1 - NEARLY]
    if wide:
        yield from dict.fromkeys(
            [max(wide, key=lambda each: each[1].recall)[0], max(wide, key=lambda each: each[1].f1)[0]]
        )


def _narrower(rule: Rule, examples: Seen, text: Seen) -> Iterator[Rule]:
    said = examples.rows(rule.says(examples)[:, BEFORE])
    for narrow in _narrowing():
        yield from narrow(rule, said, text)
