"""Part `equivalence` (Shi et al. 2024): do circuit and model beat each other equally often?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from acdc.evaluation.cost import Cost
from acdc.evaluation.numbers import p_value
from acdc.evaluation.part import Line, Part
from acdc.evaluation.statistics import SignTest, sign_test
from acdc.evaluation.values import ROUNDING, Outcomes, performance_metric
from acdc.evaluation.work import Work
from acdc.options.defaults import EPSILON
from acdc.patching.problem import Problem

__all__ = ["PART", "Equivalence", "equivalence_test"]

FEW = "; so few prompts can't show that they are equivalent, even if each won half of them"


@dataclass(frozen=True)
class Equivalence(SignTest, Part):
    """The sign test of circuit against model over the prompts.

    Attributes:
        metric: By which a prompt is won: see `performance_metric`.
        differs, equivalent: Whether that is shown at level `alpha`; at most one is.
    """

    name = "equivalence"
    summary = "whether circuit and model beat each other equally often"
    order = 30
    shares_outcomes = True

    metric: str
    alpha: float
    differs: bool
    equivalent: bool
    n_prompts: int
    forward_passes: int

    @classmethod
    def measure(cls, work: Work) -> "Equivalence":
        found, alpha = equivalence_test(work.problem, work.outcomes, epsilon=work.settings.epsilon), work.settings.alpha
        return cls(
            **vars(found),
            metric=performance_metric(work.problem).name,
            alpha=alpha,
            differs=found.p_differs <= alpha,
            equivalent=found.p_equivalent <= alpha,
            n_prompts=found.n,
            forward_passes=work.outcomes.forward_passes,
        )

    @classmethod
    def cost(cls, work: Work) -> Cost:
        return work.outcomes_cost

    def lines(self) -> Iterator[Line]:
        word = "they differ" if self.differs else "equivalent" if self.equivalent else "undecided"
        ties = f", {self.ties} ties" if self.ties else ""
        shares = f"the circuit beats the model on {self.share:.0%} of prompts by {self.metric}{ties}"
        p = f"p differ {p_value(self.p_differs)}, p same {p_value(self.p_equivalent)}"
        few = "" if self.differs or _enough(self.n_prompts, self.epsilon, self.alpha) else FEW
        yield self.name, f"{word}: {shares} ({p}){few}"


def _enough(n: int, epsilon: float, alpha: float) -> bool:
    """Whether so many prompts could show that the two are equivalent, if each won half of them."""
    return sign_test(np.resize([1.0, -1.0], n), epsilon=epsilon).p_equivalent <= alpha


def equivalence_test(problem: Problem, outcomes: Outcomes, *, epsilon: float = EPSILON) -> SignTest:
    """Does the circuit beat the model on about half of the prompts?

    A prompt is won where the circuit's performance (`performance_metric`) is better; differences within rounding of the
    model's dtype are ties.
    """
    metric = performance_metric(problem)
    values = outcomes.values[metric.name]
    better = values["circuit"] - values["model"]
    scale = max(1.0, float(np.abs(values["model"]).max()))
    return sign_test(
        metric.sign * better,
        epsilon=epsilon,
        tolerance=ROUNDING[problem.model.dtype] * scale,
    )


PART = Equivalence
