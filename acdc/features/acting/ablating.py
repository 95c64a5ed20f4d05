"""Whether the features that tell two sets of prompts apart make a difference to what the model answers.

A feature that fires on wrong answers need not cause them. Each feature is set to 0 on held-out prompts, and so is a
control: the most similar feature or, without one, a random direction of the same norm. A feature matters if, on the set
in which it fires more, it changes the answers otherwise than its control does.
"""

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from acdc.errors import counted
from acdc.evaluation.permutation import paired_p
from acdc.evaluation.statistics import adjust
from acdc.features.acting.contrast import Contrast
from acdc.features.acting.control import Control, control_of
from acdc.features.acting.set_answers import Ablation, Changed, SetAnswers
from acdc.features.dictionary import Dictionary
from acdc.metrics import Metric
from acdc.models import PatchableModel
from acdc.options.defaults import ALPHA, N_ABLATED, SEED
from acdc.progress import Progress, Tell, roughly

__all__ = ["AblatedFeature", "ablate_found"]


SETS = ("first", "second")


@dataclass(frozen=True)
class AblatedFeature:
    """A feature set to 0, on both sets' held-out prompts, and its control.

    Attributes:
        control: What the control is.
        firing: `first` or `second`: the set in which it fires more, by which it is judged.
        p: That feature and control change that set's metric (without answers: the KL divergence) so differently by
            chance, adjusted for the number of features that are ablated (Holm).
        matters: Whether `p` is at most .05.
    """

    feature: int
    control: str
    firing: str
    first: Ablation
    second: Ablation
    control_first: Ablation
    control_second: Ablation
    p: float
    matters: bool

    @property
    def judged_by(self) -> tuple[Ablation, Ablation]:
        """What it and its control change in the set in which it fires more."""
        first = self.firing == SETS[0]
        return (self.first, self.control_first) if first else (self.second, self.control_second)

    def cells(self) -> dict[str, float | int | str | bool | None]:
        """As a row of a table: of the set in which it fires more."""
        own, control = self.judged_by
        return {
            "ablated_in": self.firing,
            "ablated_metric": None if own.metric is None else own.metric.value,
            "ablated_low": None if own.metric is None else own.metric.low,
            "ablated_high": None if own.metric is None else own.metric.high,
            "ablated_kl": own.kl.value,
            "control_metric": None if control.metric is None else control.metric.value,
            "control_kl": control.kl.value,
            "became_right": own.n_right,
            "became_wrong": own.n_wrong,
            "ablated_p": self.p,
            "matters": self.matters,
        }


def ablate_found(
    model: PatchableModel,
    dictionary: Dictionary,
    found: Contrast,
    *,
    metric: Metric | None = None,
    n: int = N_ABLATED,
    seed: int = SEED,
    progress: Tell | None = None,
) -> tuple[AblatedFeature, ...]:
    """Ablate each feature whose difference holds, and a control, on held-out prompts of both sets.

    Args:
        metric: Of the task whose prompts these are; None: they have no answers.
        n: How many held-out prompts of each set at most.
        seed: Of random directions and of the test's permutations.
    """
    columns = [i for i, row in enumerate(found.rows) if row.holds]
    if not columns:
        return ()
    started = time.monotonic()
    first, second = (SetAnswers.of(model, dictionary, each.few(n), metric) for each in (found.first, found.second))
    seconds = 2 * len(columns) * (time.monotonic() - started)
    measured = []
    for done, i in enumerate(columns):
        if progress is not None:
            note = (
                "" if done else f"{counted(len(columns), 'feature')}, each beside a control: {roughly(seconds)} at most"
            )
            progress(Progress(done, len(columns), stage="ablating", unit="features", note=note))
        measured.append(_measured(model, dictionary, found, i, (first, second), seed))
    p = adjust([paired_p(each.apart, seed=seed) for each in measured])
    return tuple(each.judged(value) for each, value in zip(measured, p, strict=True))


class _Measured(NamedTuple):
    """A feature's ablation and its control's, on the two sets; it fires more in the set numbered `firing`."""

    feature: int
    control: Control
    firing: int
    own: tuple[Changed, Changed]
    other: tuple[Changed, Changed]

    @property
    def apart(self) -> np.ndarray:
        """Each prompt's change, without what the control changes, in the set in which it fires more."""
        found: np.ndarray = self.own[self.firing].values - self.other[self.firing].values
        return found

    def judged(self, p: float) -> AblatedFeature:
        """The same with its test."""
        (first, second), (third, fourth) = ([each.ablation for each in pair] for pair in (self.own, self.other))
        firing, what = SETS[self.firing], self.control.what
        return AblatedFeature(self.feature, what, firing, first, second, third, fourth, p, p <= ALPHA)


def _measured(
    model: PatchableModel,
    dictionary: Dictionary,
    found: Contrast,
    i: int,
    sets: tuple[SetAnswers, SetAnswers],
    seed: int,
) -> _Measured:
    feature, firing = found.rows[i].feature, 0 if found.rows[i].in_first else 1
    fires = [each.prompts.fires[:, i] for each in sets]
    tested = [row.feature for row in found.rows]
    control = control_of(dictionary, feature, sets[firing].firings(model, dictionary), seed=seed, but=tested)
    where = fires if control.dictionary is not dictionary else [None, None]  # of the same encoder: it fires there too
    own = tuple(each.without(model, dictionary, feature, rows) for each, rows in zip(sets, fires, strict=True))
    other = tuple(
        each.without(model, control.dictionary, control.feature, rows) for each, rows in zip(sets, where, strict=True)
    )
    return _Measured(feature, control, firing, (own[0], own[1]), (other[0], other[1]))
