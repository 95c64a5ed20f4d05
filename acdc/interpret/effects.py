"""What a changed run of the model does to a task's prompts, beside its own run, and to neutral text."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.evaluation.confidence import Interval, mean_interval, share_interval
from acdc.evaluation.values import Values, performance_metric, prompt_values
from acdc.patching.problem import Problem

__all__ = ["Effect", "changes_of", "effect_on"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a change does.

    Attributes:
        metric: Mean over the prompts.
        change: Mean of each prompt's change against the model's own run. Its interval is that of the pairs, so it is
            mostly much narrower than the metric's.
        accuracy: Share of prompts that are answered rightly; None where answers have several tokens.
        neutral_kl: Mean KL divergence of the changed predictions from the model's own, over the tokens of neutral text,
            in nats; None where the tokenizer can spell none of it.
    """

    metric: Interval
    change: Interval
    accuracy: Interval | None
    neutral_kl: float | None

    def cells(self, metric: str) -> dict[str, float | None]:
        """As a row of a table, in which the metric has its name."""
        return {
            metric: self.metric.value,
            "low": self.metric.low,
            "high": self.metric.high,
            "change": self.change.value,
            "change_low": self.change.low,
            "change_high": self.change.high,
            "accuracy": None if self.accuracy is None else self.accuracy.value,
            "neutral_kl": self.neutral_kl,
        }


@torch.no_grad()
def effect_on(
    problem: Problem,
    logits: Float[Tensor, "batch vocab"],
    neutral_kl: float | None,
    *,
    own: Float[Tensor, "batch vocab"] | None = None,
) -> Effect:
    """The effect on a problem's prompts.

    Args:
        logits: Of the changed run, at the target.
        neutral_kl: What was measured on neutral text.
        own: The model's own, made as the changed ones are, so that no change is exactly 0; the problem's if None.
    """
    values, metric = prompt_values(problem, logits), performance_metric(problem).name
    return Effect(
        metric=mean_interval(values[metric]),
        change=mean_interval(changes_of(problem, logits, own=own)),
        accuracy=share_interval(values["accuracy"]) if "accuracy" in values else None,
        neutral_kl=neutral_kl,
    )


@torch.no_grad()
def changes_of(
    problem: Problem, logits: Float[Tensor, "batch vocab"], *, own: Float[Tensor, "batch vocab"] | None = None
) -> Values:
    """Each prompt's change of the metric; arguments as for `effect_on`."""
    metric = performance_metric(problem).name
    before = prompt_values(problem, problem.clean.logits if own is None else own)[metric]
    return prompt_values(problem, logits)[metric] - before
