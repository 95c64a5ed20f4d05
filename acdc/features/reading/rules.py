"""Explicit rules of when a feature fires, and the search for the simplest one that fits.

| rule | it says that the feature fires |
|---|---|
| `on " Mary"` | on this token, or one of these |
| `after " Mary"` | on whatever follows it, or one of them |
| `on " the" where " of" stood before` | on this token, where that one stands among the 20 before it |
| `on a token that stood before` | where the same token is among the 20 before it |
| `after a token that stood before` | where the token before it stood before already |

    recall = share of the feature's tokens that the rule says,  precision = share of the rule's tokens that are its own

Recall is counted on random tokens on which the feature fires; precision follows from it and from how often the rule
says yes in the whole text: precision = recall x (times that it fires) / (times that the rule says yes). The simplest
rule is given whose F1 is within .05 of the best one's, if that is .5 at least. Rules see the token, the one before it
and which stood before; what else makes a feature fire they can't say.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from acdc.features.reading.slices import BEFORE

__all__ = ["LEAST_F1", "Fit", "Rule", "find_rule", "says"]

LEAST_F1, NEARLY = 0.5, 0.05
MOST_TOKENS = 5  # of a rule
FEWEST = 2  # examples that each token of a rule stands for
N_CONTEXTS = 8  # tokens that are tried as context


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        place: `on` or `after`.
        tokens: One of which stands there; empty: any that stood before.
        context: Must stand before too; None: nothing must.
    """

    place: str
    tokens: tuple[int, ...]
    context: int | None = None

    def text(self, name: dict[int, str]) -> str:
        """In words.

        >>> Rule("on", (3,), 5).text({3: " the", 5: " of"})
        "fires on ' the' where ' of' stood before"
        """
        what = ", ".join(repr(name[token]) for token in self.tokens) or "a token that stood before"
        where = "" if self.context is None else f" where {name[self.context]!r} stood before"
        return f"fires {self.place} {what}{where}"


@dataclass(frozen=True)
class Fit:
    """How well a rule fits: shares of the feature's tokens, and of the rule's."""

    recall: float
    precision: float

    @property
    def f1(self) -> float:
        both = self.recall + self.precision
        return 0.0 if both == 0 else 2 * self.recall * self.precision / both


def says(rule: Rule, ids: Int[np.ndarray, "row pos"]) -> Bool[np.ndarray, "row pos"]:
    """Where a rule says that the feature fires; never outside of a window (-1)."""
    there = ids if rule.place == "on" else _shifted(ids, 1)
    said = np.isin(there, rule.tokens) if rule.tokens else _stood_before(there)
    if rule.context is not None:
        said &= _within(ids == rule.context)
    return said & (ids >= 0) & (there >= 0)


def _shifted(ids: Int[np.ndarray, "row pos"], by: int) -> Int[np.ndarray, "row pos"]:
    """What stands so many tokens before."""
    return np.pad(ids, ((0, 0), (by, 0)), constant_values=-1)[:, : ids.shape[1]]


def _within(seen: Bool[np.ndarray, "row pos"]) -> Bool[np.ndarray, "row pos"]:
    """Whether one of the tokens before is such a token."""
    total = np.pad(seen.cumsum(1), ((0, 0), (1, 0)))
    columns = np.arange(seen.shape[1])
    return total[:, columns] > total[:, np.maximum(columns - BEFORE, 0)]


def _stood_before(ids: Int[np.ndarray, "row pos"]) -> Bool[np.ndarray, "row pos"]:
    return np.any([ids == _shifted(ids, by) for by in range(1, BEFORE + 1)], axis=0)


def find_rule(
    examples: Int[np.ndarray, "example pos"],
    ids: Int[np.ndarray, "window width"],
    counted: Bool[np.ndarray, "window width"],
    n_fires: int,
) -> tuple[Rule, Fit] | None:
    """The simplest rule that fits; None where none does.

    Args:
        examples: Slices around random tokens on which the feature fires (column `BEFORE`); -1 outside of a window.
        ids: The whole text, -1 at padding; `counted` the tokens of it that count.
        n_fires: On how many of them the feature fires.
    """
    if not len(examples):
        return None
    tried = [(rule, fit_of(rule, examples, ids, counted, n_fires)) for rule in _plain_rules(examples)]
    firmest = max((each for each in tried if each[0].place == "on"), key=lambda each: each[1].recall, default=None)
    if firmest is not None and firmest[1].precision < 1 - NEARLY:
        narrower = list(_with_context(firmest[0], examples))
        tried += [(rule, fit_of(rule, examples, ids, counted, n_fires)) for rule in narrower]
    best = max((fit.f1 for _, fit in tried), default=0.0)
    if best < LEAST_F1:
        return None
    return next((rule, fit) for rule, fit in tried if fit.f1 >= best - NEARLY)


def fit_of(
    rule: Rule,
    examples: Int[np.ndarray, "example pos"],
    ids: Int[np.ndarray, "window width"],
    counted: Bool[np.ndarray, "window width"],
    n_fires: int,
) -> Fit:
    """How well it fits, by these examples and how often it says yes in the text."""
    recall = float(says(rule, examples)[:, BEFORE].mean())
    often = int((says(rule, ids) & counted).sum()) if recall else 0
    return Fit(recall, min(1.0, recall * n_fires / often) if often else 0.0)


def _plain_rules(examples: Int[np.ndarray, "example pos"]) -> Iterator[Rule]:
    """The simplest first: of one token, of a repetition, of several tokens."""
    listed = {place: _common(examples[:, BEFORE - (place == "after")]) for place in ("on", "after")}
    for place, tokens in listed.items():
        if tokens:
            yield Rule(place, tokens[:1])
    yield from (Rule(place, ()) for place in listed)
    for n in range(2, MOST_TOKENS + 1):
        yield from (Rule(place, tokens[:n]) for place, tokens in listed.items() if len(tokens) >= n)


def _with_context(rule: Rule, examples: Int[np.ndarray, "example pos"]) -> Iterator[Rule]:
    """The rule where a token stands before that does in most of the examples that it says."""
    said = examples[says(rule, examples)[:, BEFORE], :BEFORE]
    counts = Counter(token for row in said for token in set(row.tolist()) - {-1})
    for token, n in counts.most_common(N_CONTEXTS):
        if 2 * n >= len(said) and n >= FEWEST:
            yield Rule(rule.place, rule.tokens, token)


def _common(tokens: Sequence[int] | np.ndarray) -> tuple[int, ...]:
    """The most frequent, each with enough examples; of equals the smallest number first."""
    counts = Counter(int(token) for token in tokens if token >= 0)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(token for token, n in ranked[:MOST_TOKENS] if n >= FEWEST)
