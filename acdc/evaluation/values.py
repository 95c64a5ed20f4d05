"""What graphs do on each prompt: the values that means, intervals, quantiles and tests are made of."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from acdc.metrics import METRICS, Metric, accuracy, get_metric
from acdc.patching.problem import Problem
from acdc.prompts import PromptBatch

__all__ = [
    "Outcomes",
    "Values",
    "is_defined",
    "loss_of",
    "normalised",
    "performance_metric",
    "prompt_values",
]

Values = Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class Outcomes:
    """Four graphs on the same prompts.

    Attributes:
        values: `values[metric][who][i]`: prompt i's value of each metric that is defined, and of `accuracy` (0 or 1);
            who is `model` (all edges kept), `circuit`, `complement` (just the other edges kept), `corrupted` (none).
        metric: Name of the problem's own metric.
        forward_passes: Masked forwards of the whole batch that it took.
    """

    values: Mapping[str, Mapping[str, Values]]
    metric: str
    n_prompts: int
    forward_passes: int


def outcomes_of(problem: Problem, mask: Bool[Tensor, "src dst"]) -> Outcomes:
    """The model, a circuit, its complement and the corrupted run, prompt by prompt."""
    logits = {
        "model": problem.clean.logits,
        "circuit": problem.logits(mask),
        "complement": problem.logits(problem.model.graph.edges_mask & ~mask),
        "corrupted": problem.logits(torch.zeros_like(mask)),
    }
    each = {who: prompt_values(problem, x) for who, x in logits.items()}
    values = {name: {who: found[name] for who, found in each.items()} for name in each["model"]}
    return Outcomes(values, problem.objective.metric.name, problem.batch.n, forward_passes=3)


def prompt_values(problem: Problem, logits: Float[Tensor, "batch vocab"]) -> dict[str, Values]:
    """Every metric that is defined on the problem's prompts, its own included, and `accuracy` as 0 or 1."""
    batch, logits, reference = problem.batch, logits.double(), problem.clean.logits.double()
    metrics = {metric.name: metric for metric in (*METRICS.values(), problem.objective.metric)}
    found = {
        name: metric.function(logits, batch.correct, batch.wrong, reference)
        for name, metric in metrics.items()
        if is_defined(metric, batch)
    }
    found["accuracy"] = accuracy(logits, batch.correct, batch.wrong)
    return {name: each.double().cpu().numpy() for name, each in found.items()}


def loss_of(problem: Problem, mask: Bool[Tensor, "src dst"]) -> float:
    """The problem's loss of the circuit `mask`, by one masked forward; lower is better."""
    return problem.loss(problem.logits(mask))


def normalised(circuit: float, model: float, corrupted: float) -> float | None:
    """`(m(circuit) - m(corrupted)) / (m(model) - m(corrupted))` of three means; None where the last two agree.

    1 where the circuit does as the model, 0 where it does as if every edge were removed. A ratio of means, not a mean
    of ratios: a single prompt's span can be near 0.
    """
    span = model - corrupted
    return float((circuit - corrupted) / span) if span else None


def performance_metric(problem: Problem) -> Metric:
    """By what a circuit can beat the model on a prompt: the problem's own metric; in place of `kl`, in which the model
    always has 0, `logit_diff`, or `nll` where a prompt lists no wrong answers."""
    own = problem.objective.metric
    if own.name != "kl":
        return own
    return get_metric("logit_diff" if is_defined(get_metric("logit_diff"), problem.batch) else "nll")


def is_defined(metric: Metric, batch: PromptBatch) -> bool:
    """Whether every prompt lists what the metric reads."""
    return not metric.needs_wrong or bool((batch.wrong >= 0).any(1).all())
