"""Whether a number of faithfulness means anything: whether model and corrupted run differ at all, and whether the model
does the task.

    f = (m(circuit) - m(corrupted)) / (m(model) - m(corrupted))

Where the denominator may be 0, f is any number; where the model can't do the task, f is faithful to nothing.
"""

import math
from typing import NamedTuple

import numpy as np

from acdc.errors import counted
from acdc.evaluation.values import SHARES, Outcomes, Values
from acdc.options.defaults import LEVEL

__all__ = ["LITTLE", "Difference", "cautions", "difference", "no_meaning", "shown_ratio"]

_BOTH = ("model", "corrupted")
LITTLE = 0.05  # of the model's probability: less on all answers together is told


class Difference(NamedTuple):
    """A mean difference over prompts and its t interval; the ends are None for a single prompt."""

    value: float
    low: float | None
    high: float | None

    @property
    def may_be_zero(self) -> bool:
        """Whether the interval includes 0."""
        return self.low is not None and self.high is not None and not (self.low > 0 or self.high < 0)


def difference(a: Values, b: Values) -> Difference:
    """The mean of `a - b` over the prompts, with its 95% interval by Student's t."""
    from scipy.stats import t

    with np.errstate(all="ignore"):
        each = a - b
        value, n = float(each.mean()), len(each)
        if n < 2:
            return Difference(value, None, None)
        half = float(t.ppf(0.5 + LEVEL / 2, n - 1)) * float(each.std(ddof=1)) / math.sqrt(n)
    return Difference(value, value - half, value + half)


def no_meaning(model: Values, corrupted: Values, *, rounding: float) -> str | None:
    """Why no ratio over the span m(model) - m(corrupted) has a meaning; None where it has one.

    It has none where the span is within rounding of 0 in the model's dtype, or where its 95% interval over the prompts
    includes 0. Whatever prints a normalised faithfulness asks here.

    Args:
        model, corrupted: Per-prompt values of one metric.
        rounding: By how much values about 1 can be off in the model's dtype: see `ROUNDING`.
    """
    span = difference(model, corrupted)
    scale = max(1.0, float(np.abs(model).max()), float(np.abs(corrupted).max()))
    if not math.isfinite(span.value):
        return "the metric is not finite"
    if abs(span.value) <= rounding * scale:
        return f"model and corrupted run differ by {span.value:.2g}, which is rounding"
    if span.may_be_zero:
        return f"model and corrupted run differ by {span.value:.3g} [{span.low:.3g}, {span.high:.3g}], which may be 0"
    return None


def cautions(outcomes: Outcomes) -> tuple[str, ...]:
    """What makes any circuit of this model on these prompts doubtful."""
    values, n = outcomes.values, outcomes.n_prompts
    found, unclear = list[str](), list[str]()
    for names in (SHARES, (outcomes.performance.name,)):  # of the two accuracies, one is enough
        if not any(_is_better(outcomes, name) for name in names):
            unclear += [f"{name} {_means(outcomes, name)}" for name in names]
    if unclear:
        by = ", ".join(unclear).replace("top1_accuracy", "top-1 accuracy")
        these = f"{'this' if n == 1 else 'these'} {counted(n, 'prompt')}"
        found.append(f"the model isn't clearly better than the corrupted run on {these}: {by}")
    share = float((values["p_correct"]["model"] + values["p_wrong"]["model"]).mean())
    if share < LITTLE:
        found.append(f"right and wrong answers together hold only {share:.2g} of the model's probability")
    own = outcomes.metric
    if reason := no_meaning(*(values[own][who] for who in _BOTH), rounding=outcomes.rounding):
        found.append(f"faithfulness by {own} has no meaning: {reason}")
    return tuple(found)


def _is_better(outcomes: Outcomes, name: str) -> bool:
    """Whether the model is clearly better than the corrupted run: by more than 0, with the whole interval."""
    sign = outcomes.performance.sign if name == outcomes.performance.name else 1
    gain = difference(*(sign * outcomes.values[name][who] for who in _BOTH))
    return gain.value > 0 and (gain.low is None or gain.low > 0)


def _means(outcomes: Outcomes, name: str) -> str:
    return " against ".join(f"{outcomes.values[name][who].mean():.3g}" for who in _BOTH)


def shown_ratio(value: float | None, reason: str | None, *, why: bool = True) -> str:
    """A faithfulness as text, marked where it has no meaning.

    >>> shown_ratio(-1.66, "model and corrupted run differ by 0.1 [-0.2, 0.4], which may be 0", why=False)
    '-1.66 (no meaning)'
    """
    text = "undefined" if value is None or not math.isfinite(value) else f"{value:.3g}"
    if reason is None:
        return text
    return f"{text} (no meaning: {reason})" if why else f"{text} (no meaning)"
