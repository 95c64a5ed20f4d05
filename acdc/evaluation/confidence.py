"""How far the numbers would move with other prompts: intervals over the prompts that were drawn.

Prompts are the units: a prompt's values of all graphs are drawn together, so that what the graphs share cancels.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from acdc.evaluation.meaning import no_meaning
from acdc.evaluation.values import ROUNDING, SHARES, TASK_VALUES, Outcomes, Values, normalised
from acdc.options.defaults import LEVEL

__all__ = [
    "Interval",
    "faithfulness_interval",
    "headline",
    "mean_difference",
    "mean_interval",
    "share_difference",
    "share_interval",
]

RESAMPLES = 4000
FEW = 50  # prompts: with fewer, bootstrap intervals of skewed values are too narrow
DRAWN = 2**22  # numbers drawn at once


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that covers the expectation over prompts with probability `level`.

    Attributes:
        value: The estimate on the prompts at hand; None where it isn't defined.
        low, high: The interval's ends; None where it isn't defined.
        method: BCa (bootstrap, bias-corrected and accelerated), percentile (bootstrap), Wilson (shares), Newcombe
            (differences of shares), or Welch (differences of means).
        under_covers: It is a bootstrap interval of fewer than 50 prompts: where values are skewed, it covers the
            expectation less often than `level` says.
        no_meaning: Why a ratio has no meaning; None where it has one, and for anything but a ratio.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    n_prompts: int
    method: str
    under_covers: bool = False
    no_meaning: str | None = None

    def signed(self) -> str:
        """As a difference: with signs, and with its ends where it has them.

        >>> Interval(0.25, -0.5, 1.0, 0.95, 10, "BCa").signed()
        '+0.25 [-0.5, +1]'
        """
        ends = "" if self.low is None or self.high is None else f" [{self.low:+.3g}, {self.high:+.3g}]"
        return "undefined" if self.value is None else f"{self.value:+.3g}{ends}"


def mean_interval(values: Values, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of per-prompt values, with its BCa bootstrap interval."""
    return _bootstrap(np.mean, (values,), level, resamples, seed)


def faithfulness_interval(
    circuit: Values,
    model: Values,
    corrupted: Values,
    *,
    rounding: float = ROUNDING[torch.float64],
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Normalised faithfulness, a ratio of means, with its BCa bootstrap interval; the three are resampled together.

    Args:
        rounding: How far off values about 1 can be: see `no_meaning`.

    Reference:
        Efron 1987, Better bootstrap confidence intervals.
    """
    reason = no_meaning(model, corrupted, rounding=rounding)
    if normalised(circuit.mean(), model.mean(), corrupted.mean()) is None:
        return Interval(None, None, None, level, len(circuit), "undefined", no_meaning=reason)

    def statistic(circuit: Any, model: Any, corrupted: Any, axis: int = -1) -> Any:
        low = corrupted.mean(axis)
        return (circuit.mean(axis) - low) / (model.mean(axis) - low)

    return replace(_bootstrap(statistic, (circuit, model, corrupted), level, resamples, seed), no_meaning=reason)


def share_interval(hits: Values, *, level: float = LEVEL) -> Interval:
    """The share of prompts that are hit, with Wilson's interval: a bootstrap's has no width where all are hit."""
    from scipy.stats import binomtest

    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(level, method="wilson")
    return Interval(float(hits.mean()), float(found.low), float(found.high), level, len(hits), "Wilson")


def share_difference(
    first: Float64[np.ndarray, " first"], second: Float64[np.ndarray, " second"], *, level: float = LEVEL
) -> Interval:
    """The share of one set's prompts that are hit, minus that of another's.

    Its interval squares and adds the distances of the two shares from their Wilson intervals' ends: it keeps its level
    with few prompts too, and has a width where all or none are hit.

    Reference:
        Newcombe 1998, Interval estimation for the difference between independent proportions, method 10.

    >>> found = share_difference(np.ones(10), np.zeros(10))
    >>> found.value, round(found.low, 2), found.high
    (1.0, 0.61, 1.0)
    """
    a, b = (share_interval(hits, level=level) for hits in (first, second))
    assert a.value is not None and b.value is not None and a.low is not None and b.low is not None
    assert a.high is not None and b.high is not None
    value = a.value - b.value
    low, high = (
        math.hypot(*ends) for ends in ((a.value - a.low, b.high - b.value), (a.high - a.value, b.value - b.low))
    )
    n = len(first) + len(second)
    return Interval(value, max(-1.0, value - low), min(1.0, value + high), level, n, "Newcombe")


def mean_difference(
    first: Float64[np.ndarray, " first"], second: Float64[np.ndarray, " second"], *, level: float = LEVEL
) -> Interval:
    """The mean of one set's prompts minus that of another's, with Welch's interval; none where neither varies.

    Of two skewed sets it keeps its level better than a bootstrap does.
    """
    from scipy.stats import ttest_ind

    value, n = float(first.mean() - second.mean()), len(first) + len(second)
    if min(len(first), len(second)) < 2 or (np.ptp(first) == 0 and np.ptp(second) == 0):
        return Interval(value, None, None, level, n, "undefined")
    found = ttest_ind(first, second, equal_var=False).confidence_interval(level)
    return Interval(value, float(found.low), float(found.high), level, n, "Welch")


def headline(
    outcomes: Outcomes, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, Interval]]:
    """Every metric of the four graphs, and normalised faithfulness of circuit and complement by each, with intervals.

    Returns:
        `{"faithfulness": {metric: ...}, "faithfulness of the complement": {metric: ...}, metric: {who: ...}}`.
    """
    settings: dict[str, Any] = {"level": level, "resamples": resamples, "seed": seed}
    found: dict[str, dict[str, Interval]] = {"faithfulness": {}, "faithfulness of the complement": {}}
    for name, values in outcomes.values.items():
        if name in SHARES:
            found[name] = {who: share_interval(each, level=level) for who, each in values.items()}
            continue
        found[name] = {who: mean_interval(each, **settings) for who, each in values.items()}
        if name in TASK_VALUES:
            continue
        for place, who in (("faithfulness", "circuit"), ("faithfulness of the complement", "complement")):
            found[place][name] = faithfulness_interval(
                values[who], values["model"], values["corrupted"], rounding=outcomes.rounding, **settings
            )
    return found


def _bootstrap(
    statistic: Callable[..., Any], columns: tuple[Values, ...], level: float, resamples: int, seed: int
) -> Interval:
    from scipy.stats import bootstrap

    n, value = len(columns[0]), float(statistic(*columns, axis=-1))
    if n < 2 or all(np.ptp(column) == 0 for column in columns):
        return Interval(value, None if n < 2 else value, None if n < 2 else value, level, n, "percentile")
    for method in ("BCa", "percentile"):  # BCa isn't defined where the statistic hardly varies
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = bootstrap(
                columns,
                statistic,
                paired=True,
                vectorized=True,
                axis=-1,
                confidence_level=level,
                n_resamples=resamples,
                batch=max(1, DRAWN // n),
                method=method,
                random_state=np.random.default_rng(seed),
            ).confidence_interval
        if np.isfinite([found.low, found.high]).all():
            return Interval(value, float(found.low), float(found.high), level, n, method, under_covers=n < FEW)
    return Interval(value, None, None, level, n, "undefined")
