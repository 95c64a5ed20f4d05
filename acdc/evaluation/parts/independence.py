"""Part `independence` (Shi et al. 2024): does what is left without the circuit still follow the model?"""

from collections.abc import Iterator
from dataclasses import dataclass

from acdc.evaluation.cost import Cost
from acdc.evaluation.numbers import p_value
from acdc.evaluation.part import Line, Part
from acdc.evaluation.statistics import HSICTest, hsic_test
from acdc.evaluation.values import Outcomes, performance_metric
from acdc.evaluation.work import Work
from acdc.patching.problem import Problem

__all__ = ["PART", "Independence", "independence_test"]


@dataclass(frozen=True)
class Independence(HSICTest, Part):
    """The test of the complement's performance against the model's, over the prompts.

    Attributes:
        metric: What performance is: see `performance_metric`.
        dependent: Whether a dependence is shown at level `alpha`.
    """

    name = "independence"
    summary = "whether what is left without the circuit still follows the model"
    order = 40
    shares_outcomes = True

    metric: str
    alpha: float
    dependent: bool
    n_prompts: int
    forward_passes: int

    @classmethod
    def measure(cls, work: Work) -> "Independence":
        found, alpha = independence_test(work.problem, work.outcomes, seed=work.settings.seed), work.settings.alpha
        return cls(
            **vars(found),
            metric=performance_metric(work.problem).name,
            alpha=alpha,
            dependent=found.p <= alpha,
            n_prompts=found.n,
            forward_passes=work.outcomes.forward_passes,
        )

    @classmethod
    def cost(cls, work: Work) -> Cost:
        return work.outcomes_cost

    def lines(self) -> Iterator[Line]:
        shown = "the complement's performance depends on the model's"
        word = shown if self.dependent else "no dependence of the complement on the model shown"
        yield self.name, f"{word}, by {self.metric} (HSIC, p {p_value(self.p)})"


def independence_test(problem: Problem, outcomes: Outcomes, *, permutations: int = 1000, seed: int = 0) -> HSICTest:
    """Does what is left without the circuit still follow the model's performance from prompt to prompt?"""
    values = outcomes.values[performance_metric(problem).name]
    return hsic_test(values["model"], values["complement"], permutations=permutations, seed=seed)


PART = Independence
