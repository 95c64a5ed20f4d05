"""What graphs do on each prompt: the values that means, intervals, quantiles and tests are made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from acdc.evaluation.cost import Stopwatch
from acdc.evaluation.predictions import Prediction, top_predictions
from acdc.evaluation.recording import AFRESH, Recorder, mask_bytes
from acdc.evaluation.whole_answers import sums, whole_answers
from acdc.metrics import METRICS, Metric, accuracy, answer_probability, get_metric, top1_accuracy
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

__all__ = [
    "ROUNDING",
    "SHARES",
    "TASK_VALUES",
    "Outcomes",
    "Values",
    "answer_metric",
    "circuit_values",
    "is_defined",
    "loss_of",
    "normalised",
    "outcomes_from",
    "performance_metric",
    "prompt_values",
    "recorded_values",
]

Values = Float64[np.ndarray, " n"]
SHARES = ("accuracy", "top1_accuracy")  # a prompt's value is 0 or 1
TASK_VALUES = (*SHARES, "p_correct", "p_wrong")  # how well the task is done: nothing to be faithful to
ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 1e-1}  # of a value about 1


@dataclass(frozen=True)
class Outcomes:
    """Four graphs on the same prompts.

    Attributes:
        values: `values[metric][who][i]`: prompt i's value of each metric that is defined, and of `TASK_VALUES`; who is
            `model` (all edges kept), `circuit`, `complement` (just the other edges kept), `corrupted` (none).
        predictions: What they predict on the first prompts.
        metric: Name of the problem's own metric.
        performance: By what one run beats another: see `performance_metric`.
        rounding: How far off values about 1 can be in the model's dtype.
        forward_passes: Masked forwards of the whole batch that it took.
        seconds: How long each of them took, by who; what all share is made in that of `corrupted`, the first.
    """

    values: Mapping[str, Mapping[str, Values]]
    predictions: tuple[Prediction, ...]
    metric: str
    performance: Metric
    rounding: float
    n_prompts: int
    forward_passes: int
    seconds: Mapping[str, float] = field(default_factory=dict)


def outcomes_of(
    problem: Problem, mask: Bool[Tensor, "src dst"], *, complement: bool = True, recorder: Recorder = AFRESH
) -> Outcomes:
    """The model, a circuit, its complement and the corrupted run, prompt by prompt.

    Args:
        complement: Whether to measure it too; it takes a forward pass of its own.
        recorder: Learns the values, for parts that ask about these circuits again: see `SharedRuns`.
    """
    masks = {"circuit": mask, "corrupted": torch.zeros_like(mask)}
    if complement:
        masks["complement"] = problem.graph.edges_mask & ~mask
    logits, seconds = {"model": problem.clean.logits}, dict[str, float]()
    for who in sorted(masks, key="corrupted".__ne__):
        watch = Stopwatch(problem.model.device)
        logits[who] = problem.logits(masks[who])
        seconds[who] = watch.seconds()
    each = {"model": prompt_values(problem, problem.clean.logits)}
    for who, kept in masks.items():
        each[who] = recorded_values(problem, mask_bytes(kept), partial(logits.__getitem__, who), recorder)
    return outcomes_from(problem, logits, each, forward_passes=len(masks), seconds=seconds)


def outcomes_from(
    problem: Problem,
    logits: Mapping[str, Float[Tensor, "batch vocab"]],
    each: Mapping[str, Mapping[str, Values]],
    *,
    forward_passes: int,
    seconds: Mapping[str, float] | None = None,
) -> Outcomes:
    """What was measured of runs: `model`, `circuit`, `corrupted` and perhaps `complement`.

    Args:
        logits: Of each run.
        each: The values of each run by metric, prompt by prompt.
    """
    return Outcomes(
        values={name: {who: found[name] for who, found in each.items()} for name in each["model"]},
        predictions=top_predictions(problem, {who: logits[who] for who in ("model", "circuit", "corrupted")}),
        metric=problem.objective.metric.name,
        performance=performance_metric(problem),
        rounding=ROUNDING[problem.model.dtype],
        n_prompts=problem.batch.n_pairs,
        forward_passes=forward_passes,
        seconds=seconds or {},
    )


def prompt_values(problem: Problem, logits: Float[Tensor, "batch vocab"]) -> dict[str, Values]:
    """Every metric that is defined on the problem's prompts, its own included, and how well the task is done."""
    batch, logits, reference = problem.batch, logits.double(), problem.clean.logits.double()
    found = {
        metric.name: metric.function(logits, batch.correct, batch.wrong, reference) for metric in _metrics(problem)
    }
    if batch.pair_ids is None:
        found["accuracy"] = accuracy(logits, batch.correct, batch.wrong)
        found["top1_accuracy"] = top1_accuracy(logits, batch.correct)
        found["p_correct"], found["p_wrong"] = (answer_probability(logits, ids) for ids in (batch.correct, batch.wrong))
    else:
        found = {name: sums(each, batch.pair_ids) for name, each in found.items()} | whole_answers(logits, batch)
    return {name: each.double().cpu().numpy() for name, each in found.items()}


def recorded_values(
    problem: Problem, question: bytes, logits: Callable[[], Float[Tensor, "batch vocab"]], recorder: Recorder
) -> dict[str, Values]:
    """`prompt_values` of the logits that the question is about; they are made only where it wasn't answered before."""
    names = [metric.name for metric in _metrics(problem)] + list(TASK_VALUES)

    def measure() -> list[float]:
        found = prompt_values(problem, logits())
        return [value for name in names for value in found[name].tolist()]

    flat = np.array(recorder.about(problem, b"values " + question, measure), dtype=np.float64)
    return dict(zip(names, flat.reshape(len(names), problem.batch.n_pairs), strict=True))


def circuit_values(problem: Problem, mask: Bool[Tensor, "src dst"], recorder: Recorder = AFRESH) -> dict[str, Values]:
    """`prompt_values` of the circuit `mask`, by one masked forward."""
    return recorded_values(problem, mask_bytes(mask), lambda: problem.logits(mask), recorder)


def loss_of(problem: Problem, mask: Bool[Tensor, "src dst"], recorder: Recorder = AFRESH) -> float:
    """The problem's loss of the circuit `mask`, by one masked forward; lower is better."""
    (loss,) = recorder.about(problem, b"loss " + mask_bytes(mask), lambda: [problem.loss(problem.logits(mask))])
    return loss


def _metrics(problem: Problem) -> list[Metric]:
    """Every metric that is defined on the problem's prompts, its own included."""
    metrics = {metric.name: metric for metric in (*METRICS.values(), problem.objective.metric)}
    own = problem.objective.metric.name
    return [metric for metric in metrics.values() if metric.name == own or is_defined(metric, problem.batch)]


def normalised(circuit: float, model: float, corrupted: float) -> float | None:
    """`(m(circuit) - m(corrupted)) / (m(model) - m(corrupted))` of three means; None where the last two agree.

    1 where the circuit does as the model, 0 where it does as if every edge were removed. A ratio of means, not a mean
    of ratios: a single prompt's span can be near 0.
    """
    span = model - corrupted
    return float((circuit - corrupted) / span) + 0.0 if span else None  # no -0


def performance_metric(problem: Problem) -> Metric:
    """By what a circuit can beat the model on a prompt: see `answer_metric`."""
    return answer_metric(problem.objective.metric, problem.batch)


def answer_metric(metric: Metric, batch: PromptBatch) -> Metric:
    """How good answers are: the metric itself; in place of `kl`, in which the model always has 0, `logit_diff`, or
    `nll` where a prompt lists no wrong answers, or `answer_logprob` of whole answers."""
    if metric.name != "kl":
        return metric
    if batch.pair_ids is not None:
        return get_metric("answer_logprob")
    return get_metric("logit_diff" if is_defined(get_metric("logit_diff"), batch) else "nll")


def is_defined(metric: Metric, batch: PromptBatch) -> bool:
    """Whether every prompt lists what the metric reads, and it says something of its own there."""
    fits = metric.single_tokens if batch.pair_ids is None else metric.whole_answers
    return fits and (not metric.needs_wrong or bool((batch.wrong >= 0).any(1).all()))
