"""Training of hard-concrete gates by gradient descent: what edge pruning and subnetwork probing share.

Every step takes some prompts, and draws the gates anew for each of them, which is nearly free and makes the gradient
that much less noisy:

    minimise over log_alpha:   loss(weights(gates)) + pressure(expected numbers of open gates)
    maximise over multipliers: the same

A step's draws depend on the seed and the step alone, and the whole state is a list of numbers, so that a stopped
training goes on, from the last state that was written, to the same end.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from acdc.discovery.checkpoint import Checkpoint, recorded
from acdc.discovery.masks.hard_concrete import p_open, sample
from acdc.errors import RunError
from acdc.patching.exact.reachability import reading
from acdc.patching.problem import Problem
from acdc.patching.weighted import prompts_that_fit, weighted_logits
from acdc.progress import Progress

__all__ = ["Gates", "Price", "Schedule", "Target", "Trained", "train"]

CHECKPOINTS = 20  # states written over a training: so much of it, at most, is lost when it is stopped
NEAR = 0.01  # a target counts as met within this share of all gates
SMOOTH = 0.95  # of the running mean of the loss
GAIN = 0.01  # a loss counts as better if it is lower by this share


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
class Target:
    """Pressure towards a given share of closed gates of each kind, by learned multipliers.

    `Σ_kinds lambda_1 (t - s) + lambda_2 (t - s)²` with s the expected share of closed gates; t rises linearly from the
    share at the start to the target over the first `warmup` steps.

    Reference:
        Wang et al. 2020 (structured pruning), section 3.2; Bhaskar et al. 2024, section 3.
    """

    sparsity: Sequence[float]
    warmup: int

    @property
    def n_multipliers(self) -> int:
        return 2 * len(self.sparsity)

    def __call__(self, closed: Tensor, first: Tensor, multipliers: Tensor, step: int) -> Tensor:
        share = min(1.0, (step + 1) / max(1, self.warmup))
        gap = first + (closed.new_tensor(self.sparsity) - first) * share - closed
        linear, square = multipliers.chunk(2)
        return (linear * gap + square * gap**2).sum()

    def is_met(self, closed: Tensor, step: int) -> bool:
        return step >= self.warmup and bool(((closed - closed.new_tensor(self.sparsity)).abs() <= NEAR).all())


@dataclass(frozen=True)
class Price:
    """Pressure by a price of each open gate, in the loss's unit, that rises from 0 over the first `warmup` steps."""

    each: float
    total: float
    warmup: int
    n_multipliers: int = 0

    def __call__(self, closed: Tensor, first: Tensor, multipliers: Tensor, step: int) -> Tensor:
        return self.each * min(1.0, (step + 1) / max(1, self.warmup)) * self.total * (1 - closed).sum()

    def is_met(self, closed: Tensor, step: int) -> bool:
        return step >= self.warmup


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        steps: Most steps.
        lr, multiplier_lr: Adam's learning rates of the log odds and of the multipliers.
        batch_size: Prompts a step.
        patience: Stop when the pressure's target is met and the smoothed loss hasn't fallen for so many steps; None for
            never.
        memory: About how many bytes a step may keep for its backward pass.

    Raises:
        RunError: A number is out of range.
    """

    steps: int
    lr: float
    multiplier_lr: float
    batch_size: int
    patience: int | None
    memory: int

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "memory"):
            if (value := getattr(self, name)) < 1:
                raise RunError(f"{name} must be a positive whole number, not {value!r}")
        for name in ("lr", "multiplier_lr"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                raise RunError(f"{name} must be a positive number, not {value!r}")
        if self.patience is not None and self.patience < 1:
            raise RunError(f"patience must be at least 1 step, or none for training to the end, not {self.patience!r}")


@dataclass(frozen=True)
class Trained:
    """Where a training ended.

    Attributes:
        log_alpha: The gates' log odds.
        steps: Steps taken, before and after a stop.
        met: Whether the pressure's target was met at the end.
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
    pressure: Target | Price,
    schedule: Schedule,
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train the gates from the log odds `start`.

    Raises:
        RunError: The loss becomes NaN.
    """
    state = _State(start, pressure.n_multipliers, schedule)
    state.read(checkpoint)
    totals = gates.totals
    first = 1 - gates.open(p_open(start)) / totals
    every, met, finished = max(1, schedule.steps // CHECKPOINTS), False, False
    while state.step < schedule.steps and not finished:
        step, (log_alpha, multipliers) = state.step, state.parameters
        loss = _loss(problem, gates, log_alpha, schedule, step)
        opened = gates.open(p_open(log_alpha))
        closed = 1 - opened / totals
        state.descend(loss + pressure(closed, first, multipliers, step), loss.item())
        met = pressure.is_met(closed.detach(), step)
        finished = met and state.has_stalled(schedule.patience)
        if not met:
            state.forget_best()
        if state.step % every == 0 and state.step < schedule.steps and not finished:
            state.write(checkpoint)
        if progress is not None:
            progress(Progress(state.step, schedule.steps, round(opened[0].item()), "training masks", unit="steps"))
    return Trained(state.parameters[0].detach(), state.step, met, _cost(problem, schedule, state.step))


def _loss(
    problem: Problem, gates: Gates, log_alpha: Float64[Tensor, " gates"], schedule: Schedule, step: int
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
    metric, batch, rows = problem.objective.metric, problem.batch, rows.to(logits.device)
    value = metric.function(logits, batch.correct[rows], batch.wrong[rows], problem.clean.logits[rows]).double().mean()
    if math.isnan(value.item()):
        raise RunError(f"the loss becomes NaN in step {step + 1}; use a wider dtype (float32 or float64)")
    return metric.loss(value).to(log_alpha.device)


def _live(problem: Problem, weights: Float64[Tensor, "n src dst"]) -> Bool[Tensor, " src"]:
    """Sources with a path of weights other than 0, each in some prompt, to the logits.

    The others' weights are those of gates at exactly 0, where a gate has no slope, or can't matter in this step.
    """
    positive = (weights.detach() != 0).any(0).cpu().numpy()
    return torch.from_numpy((positive & reading(problem.model.graph, positive).useful).any(1))


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


@dataclass
class _State:
    """The parameters, Adam's moments of them, and what early stopping knows."""

    start: Float64[Tensor, " gates"]
    n_multipliers: int
    schedule: Schedule
    step: int = 0
    smoothed: float = math.nan
    best: float = math.inf
    best_step: int = 0
    parameters: tuple[Tensor, Tensor] = field(init=False)
    adam: torch.optim.Adam = field(init=False)

    def __post_init__(self) -> None:
        multipliers = self.start.new_zeros(self.n_multipliers)
        self.parameters = (self.start.clone().requires_grad_(), multipliers.requires_grad_())
        groups = [
            {"params": [self.parameters[0]], "lr": self.schedule.lr},
            {"params": [self.parameters[1]], "lr": self.schedule.multiplier_lr, "maximize": True},
        ]
        self.adam = torch.optim.Adam(groups, foreach=False)

    def descend(self, total: Float64[Tensor, ""], loss: float) -> None:
        """One step of Adam; `loss` is the total without the pressure."""
        gradients = torch.autograd.grad(total, self.parameters, allow_unused=True, materialize_grads=True)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.adam.step()
        self.smoothed = loss if math.isnan(self.smoothed) else SMOOTH * self.smoothed + (1 - SMOOTH) * loss
        self.step += 1

    def has_stalled(self, patience: int | None) -> bool:
        """Whether the smoothed loss hasn't fallen for `patience` steps; notes the best one."""
        if self.smoothed < self.best - GAIN * abs(self.best) or math.isinf(self.best):
            self.best, self.best_step = self.smoothed, self.step
        return patience is not None and self.step - self.best_step >= patience

    def forget_best(self) -> None:
        """Start to look for the best loss anew."""
        self.best, self.best_step = math.inf, self.step

    def write(self, checkpoint: Checkpoint | None) -> None:
        """Record everything, exact to the last bit."""
        if checkpoint is not None:
            tensors = torch.cat([tensor.detach().flatten() for tensor in self._tensors()])
            checkpoint.append([float(self.step), self.smoothed, self.best, float(self.best_step), *tensors.tolist()])

    def read(self, checkpoint: Checkpoint | None) -> None:
        """Go to the last recorded state."""
        last, size = None, 4 + 3 * sum(parameter.numel() for parameter in self.parameters)  # they and their moments
        while (values := recorded(checkpoint, size)) is not None:
            last = values
        if last is None:
            return
        for parameter in self.parameters:  # the moments, as Adam makes them
            moments = {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
            self.adam.state[parameter] = {"step": torch.tensor(float(last[0])), **moments}
        tensors, numbers = self._tensors(), last[4:]
        self.step, self.smoothed, self.best, self.best_step = int(last[0]), last[1], last[2], int(last[3])
        with torch.no_grad():
            for tensor, part in zip(tensors, self._split(numbers, tensors), strict=True):
                tensor.copy_(part.view_as(tensor))

    def _tensors(self) -> list[Tensor]:
        """The parameters and their moments."""
        moments = [self.adam.state[p][name] for p in self.parameters for name in ("exp_avg", "exp_avg_sq")]
        return [*self.parameters, *moments]

    @staticmethod
    def _split(numbers: list[float], tensors: list[Tensor]) -> tuple[Tensor, ...]:
        return torch.tensor(numbers, dtype=torch.float64).split([tensor.numel() for tensor in tensors])
