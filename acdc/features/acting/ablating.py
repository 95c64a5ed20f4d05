"""Whether the features that tell two sets of prompts apart make a difference to what the model answers.

A feature that fires on wrong answers need not cause them. Each feature is set to 0 on held-out prompts, and so is a
control: the most similar feature or, without one, a random direction of the same norm. A feature matters if, on the set
in which it fires more, it changes the answers by more than its control does. All that fire more in one set are set to 0
together too: what several features write, one of them alone may hardly change.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from acdc.errors import counted
from acdc.evaluation.permutation import paired_p
from acdc.evaluation.statistics import adjust
from acdc.features.acting.contrast import Contrast
from acdc.features.acting.control import control_of, random_directions
from acdc.features.acting.set_answers import Ablation, Changed, SetAnswers
from acdc.features.dictionary import Dictionary
from acdc.metrics import Metric
from acdc.models import PatchableModel
from acdc.options.defaults import ALPHA, N_ABLATED, SEED
from acdc.progress import Progress, Tell, roughly

__all__ = ["Ablated", "ablate_found"]

SETS = ("first", "second")


@dataclass(frozen=True)
class Ablated:
    """One feature, or all that fire more in one set, set to 0 on both sets' held-out prompts; and a control.

    Attributes:
        control: What the control is.
        firing: `first` or `second`: the set in which they fire more, by which they are judged.
        p: That they change that set's metric (without answers: the next token, by its KL divergence) by so much more
            than the control does by chance: of paired permutations, adjusted for the number of ablations (Holm); 1
            where they change it no more.
        matters: Whether `p` is at most .05.
    """

    features: tuple[int, ...]
    control: str
    firing: str
    first: Ablation
    second: Ablation
    control_first: Ablation
    control_second: Ablation
    p: float
    matters: bool

    @property
    def name(self) -> str:
        """The feature's number, or how many of which set."""
        return str(self.features[0]) if len(self.features) == 1 else f"all {len(self.features)} of {self.firing}"

    @property
    def judged_by(self) -> tuple[Ablation, Ablation]:
        """What they and their control change in the set in which they fire more."""
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
) -> tuple[Ablated, ...]:
    """Ablate each feature whose difference holds, all of each set together, and controls, on held-out prompts.

    Args:
        metric: Of the task whose prompts these are; None: they have no answers.
        n: How many held-out prompts of each set at most.
        seed: Of random directions and of the test's permutations.
    """
    groups = list(_groups(found))
    if not groups:
        return ()
    started = time.monotonic()
    first, second = (SetAnswers.of(model, dictionary, each.few(n), metric) for each in (found.first, found.second))
    seconds = 2 * len(groups) * (time.monotonic() - started)
    measured = []
    for done, group in enumerate(groups):
        if progress is not None:
            note = "" if done else f"{counted(len(groups), 'ablation')} beside controls, at most {roughly(seconds)}"
            progress(Progress(done, len(groups), stage="ablating", unit="ablations", note=note))
        measured.append(_measured(model, dictionary, found, group, (first, second), seed))
    p = adjust([each.p(seed) for each in measured])
    return tuple(each.judged(value) for each, value in zip(measured, p, strict=True))


def _groups(found: Contrast) -> Iterator[list[int]]:
    """The rows that are ablated together: each that holds, and all of one set."""
    holding = [i for i, row in enumerate(found.rows) if row.holds]
    yield from ([i] for i in holding)
    for in_first in (True, False):
        alike = [i for i in holding if found.rows[i].in_first == in_first]
        if len(alike) > 1:
            yield alike


class _Measured(NamedTuple):
    """An ablation and its control's, on the two sets; the features fire more in the set numbered `firing`."""

    features: tuple[int, ...]
    control: str
    firing: int
    own: tuple[Changed, Changed]
    other: tuple[Changed, Changed]

    def p(self, seed: int) -> float:
        """That they change the set in which they fire more by so much more than the control does by chance."""
        own, other = (each[self.firing].values for each in (self.own, self.other))
        return paired_p(own - other, seed=seed) if abs(own.mean()) > abs(other.mean()) else 1.0

    def judged(self, p: float) -> Ablated:
        """The same with its test."""
        (first, second), (third, fourth) = ([each.ablation for each in pair] for pair in (self.own, self.other))
        return Ablated(self.features, self.control, SETS[self.firing], first, second, third, fourth, p, p <= ALPHA)


def _measured(
    model: PatchableModel,
    dictionary: Dictionary,
    found: Contrast,
    group: Sequence[int],
    sets: tuple[SetAnswers, SetAnswers],
    seed: int,
) -> _Measured:
    features, firing = tuple(found.rows[i].feature for i in group), 0 if found.rows[group[0]].in_first else 1
    fires = [np.asarray(each.prompts.fires[:, group].any(1)) for each in sets]
    if len(group) > 1:
        made, others = random_directions(dictionary, features, seed=seed), features
        what = "random directions of the same norms"
    else:
        near = sets[firing].firings(model, dictionary)
        tested = [row.feature for row in found.rows]
        control = control_of(dictionary, features[0], near, seed=seed + features[0], but=tested)
        made, others, what = control.dictionary, (control.feature,), control.what
    where = fires if made is not dictionary else [None, None]  # of the same encoder: it fires there too
    own = [each.without(model, dictionary, features, rows) for each, rows in zip(sets, fires, strict=True)]
    other = [each.without(model, made, others, rows) for each, rows in zip(sets, where, strict=True)]
    return _Measured(features, what, firing, (own[0], own[1]), (other[0], other[1]))
