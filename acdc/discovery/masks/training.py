"""Training of hard-concrete gates by gradient descent: what edge pruning and subnetwork probing share.

Every step takes some prompts, and draws the gates anew for each of them, which is nearly free and makes the gradient
that much less noisy:

    minimise over log_alpha:   loss(weights(gates)) + sparsity(expected numbers of open gates)
    maximise over multipliers: the same

A step's draws depend on the seed and the step alone, and the whole state is kept now and then, so that a stopped
training goes on, from the last state that was kept, to the same end.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from acdc.discovery.checkpoint import Checkpoint
from acdc.discovery.masks.descent import Descent, Schedule
from acdc.discovery.masks.hard_concrete import p_open, sample
from acdc.discovery.masks.sparsity import L0Penalty, Lagrangian
from acdc.errors import RunError
from acdc.patching.exact.reachability import reading
from acdc.patching.problem import Problem
from acdc.patching.weighted import prompts_that_fit, weighted_logits
from acdc.progress import Progress

__all__ = ["Gates", "Trained", "train"]

CHECKPOINTS = 20  # times that the state is kept in a training: so much of it, at most, is lost when it is stopped


@runtime_checkable
class Gates(Protocol):
    """What the gates of a method stand for."""

    @property
    def totals(self) -> Float64[Tensor, " kinds"]:
        """How many things of each kind there are, like edges, or edges and nodes."""
        ...

    def weights(self, gates: Float[Tensor, "*n gates"]) -> Float[Tensor, "*n src dst"]:
        """The edges' weights where the gates have these values."""
        ...

    def open(self, p: Float[Tensor, " gates"]) -> Float[Tensor, " kinds"]:
        """How many things of each kind are open, in the mean, where the gates are with these probabilities."""
        ...


@dataclass(frozen=True)
class Trained:
    """Where a training ended.

    Attributes:
        log_alpha: The gates' log odds.
        steps: Steps taken, before and after a stop.
        met: Whether the target was met at the end.
        cost: `forward_passes` and `backward_passes` in whole batches, and `steps`.
    """

    log_alpha: Float64[Tensor, " gates"]
    steps: int
    met: bool
    cost: dict[str, int | float]


def train(
    problem: Problem,
    gates: Gates,
    start: Float64[Tensor, " gates"],
    sparsity: Lagrangian | L0Penalty,
    schedule: Schedule,
    *,
    match: bool = False,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train the gates from the log odds `start`.

    Args:
        match: Whether the loss is how far the metric is from the model's, prompt by prompt, and not the metric's own.

    Raises:
        RunError: The loss becomes NaN.
    """
    state = Descent(start, sparsity.n_multipliers, schedule)
    state.load(checkpoint)
    totals = gates.totals
    first = 1 - gates.open(p_open(start)) / totals
    every, met, finished = max(1, schedule.steps // CHECKPOINTS), False, False
    while state.step < schedule.steps and not finished:
        step, (log_alpha, multipliers) = state.step, state.parameters
        loss = _loss(problem, gates, log_alpha, schedule, step, match)
        opened = gates.open(p_open(log_alpha))
        closed = 1 - opened / totals
        state.descend(loss + sparsity(closed, first, multipliers, step), loss.item())
        met = sparsity.is_met(closed.detach(), step)
        finished = met and state.has_stalled(schedule.patience)
        if not met:
            state.forget_best()
        if state.step % every == 0 and state.step < schedule.steps and not finished:
            state.keep(checkpoint)
        if progress is not None:
            progress(Progress(state.step, schedule.steps, round(opened[0].item()), "training masks", unit="steps"))
    return Trained(state.parameters[0].detach(), state.step, met, _cost(problem, schedule, state.step))


def _loss(
    problem: Problem, gates: Gates, log_alpha: Float64[Tensor, " gates"], schedule: Schedule, step: int, match: bool
) -> Float64[Tensor, ""]:
    """The mean loss of some prompts, each with its own draw of the gates.

    Raises:
        RunError: It is NaN.
    """
    generator = torch.Generator().manual_seed(_seed(problem.seed, step, "gates"))
    rows = _rows(problem.batch.n, schedule.batch_size, problem.seed, step)
    weights = gates.weights(sample(log_alpha.expand(len(rows), -1), generator))
    live = _live(problem, weights)
    logits = weighted_logits(problem.masked, weights, rows=rows, live=live, memory=schedule.memory)
    loss = _measured(problem, logits, rows.to(logits.device), match)
    if math.isnan(loss.item()):
        raise RunError(f"the loss becomes NaN in step {step + 1}; use a wider dtype (float32 or float64)")
    return loss.to(log_alpha.device)


def _measured(
    problem: Problem, logits: Float[Tensor, "n vocab"], rows: Int[Tensor, " n"], match: bool
) -> Float64[Tensor, ""]:
    """The mean loss of these prompts: minus the metric where higher is better, or how far it is from the model's."""
    metric, batch, clean = problem.objective.metric, problem.batch, problem.clean.logits[rows]
    correct, wrong = batch.correct[rows], batch.wrong[rows]
    values = metric.function(logits, correct, wrong, clean).double() * batch.rows_per_pair
    if match:
        expected = metric.function(clean, correct, wrong, clean).double() * batch.rows_per_pair
        return (values - expected).abs().mean()
    return metric.loss(values.mean())


def _live(problem: Problem, weights: Float64[Tensor, "n src dst"]) -> Bool[Tensor, " src"]:
    """Sources with a path of weights other than 0, each in some prompt, to the logits.

    The others' weights are those of gates at exactly 0, where a gate has no slope, or can't matter in this step.
    """
    positive = (weights.detach() != 0).any(0).cpu().numpy()
    return torch.from_numpy((positive & reading(problem.graph, positive).useful).any(1))


def _rows(n: int, size: int, seed: int, step: int) -> Int[Tensor, " rows"]:
    """The prompts of a step: shuffled anew in each pass through all of them, in pieces of at most `size`."""
    pieces = -(-n // size)
    epoch, piece = divmod(step, pieces)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(_seed(seed, epoch, "prompts")))
    return order.tensor_split(pieces)[piece].sort().values


def _seed(seed: int, step: int, what: str) -> int:
    """A different seed for every use: the generator mixes neighbouring ones well enough."""
    return (seed * 1_000_003 + step) * 2 + (what == "gates")


def _cost(problem: Problem, schedule: Schedule, steps: int) -> dict[str, int | float]:
    """What `steps` took; prompts that didn't fit in memory together are run forward twice."""
    n, size = problem.batch.n, schedule.batch_size
    prompts = sum(len(_rows(n, size, problem.seed, step)) for step in range(steps % -(-n // size)))
    batches = steps // -(-n // size) + prompts / n
    again = 2 if prompts_that_fit(problem.masked, schedule.memory) < min(size, n) else 1
    return {"steps": steps, "forward_passes": round(again * batches, 2), "backward_passes": round(batches, 2)}
