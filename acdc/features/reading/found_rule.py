"""A feature's rule: found on one half of its examples, and tested on the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Int

from acdc.features.reading.judging import LabelTest, try_label
from acdc.features.reading.questions import questions_of
from acdc.features.reading.record import FeatureReading
from acdc.features.reading.rules import Fit, Rule, Seen, Vocabulary, find_rule, fit_of
from acdc.features.reading.windows import Window

__all__ = ["FoundRule", "rule_of"]


@dataclass(frozen=True)
class FoundRule:
    """A rule that was found on one half of the examples.

    Attributes:
        text: It in words.
        fit: How well it fits the other half, over the whole text.
        test: How well it tells the other half's windows.
    """

    rule: Rule
    text: str
    fit: Fit
    test: LabelTest


def rule_of(reading: FeatureReading, index: int) -> FoundRule | None:
    """The simplest rule that fits one half of a feature's examples, tested on the other half; None where none fits.

    Raises:
        RunError: There is no such feature.
    """
    reading.check_index(index)
    finding, holding = _halves(reading, index)
    counts = (reading.seen, reading.counted, int(reading.n_fires[index]))
    found = find_rule(reading.seen.slices(finding), *counts)
    if found is None:
        return None
    rule, fit = found
    fit = fit_of(rule, reading.seen.slices(holding), *counts) if len(holding) else fit
    text, judge = rule.text(reading.seen.vocabulary), partial(_by_rule, rule, reading.seen.vocabulary)
    return FoundRule(rule, text, fit, try_label(text, judge, questions_of(reading, index)))


def _by_rule(rule: Rule, vocabulary: Vocabulary, label: str, windows: Sequence[Window]) -> list[bool]:
    """A rule as the judge: yes where it says one of the tokens; where some are marked, at least half of these."""
    del label  # the rule is what it says
    answers = []
    for window in windows:
        said = rule.says(_seen(window, vocabulary))[0] & np.array(window.counted)
        marked = np.array(window.marked, dtype=bool)
        answers.append(bool(2 * said[marked].sum() >= marked.sum()) if len(marked) else bool(said.any()))
    return answers


def _seen(window: Window, vocabulary: Vocabulary) -> Seen:
    """A window as rules see it."""
    order = np.arange(len(window.ids))
    return Seen(
        np.array([window.ids]), window.before + order[None], window.behind + order[None, ::-1].copy(), vocabulary
    )


def _halves(reading: FeatureReading, index: int) -> tuple[Int[np.ndarray, " finding"], Int[np.ndarray, " held_out"]]:
    """Tokens to find a rule on, and those that are held out: of no window that the first are of."""
    where, width = reading.examples.where[index], reading.ids.shape[1]
    finding, holding = (half[half >= 0] for half in (where[::2], where[1::2]))
    fired = reading.fired[index][reading.fired[index] >= 0]
    more = fired[~np.isin(fired // width, holding // width)]
    return np.union1d(finding, more), holding
