"""The state of a training: the parameters, Adam's moments of them, and what early stopping knows."""

import math
from dataclasses import dataclass, field, fields

import torch
from jaxtyping import Float64
from torch import Tensor

from acdc.discovery.checkpoint import Checkpoint
from acdc.options.ranges import Bytes, Count, Learning, Steps, checked

__all__ = ["Descent", "Schedule"]

SMOOTH = 0.95  # of the running mean of the loss
GAIN = 0.01  # a loss counts as better if it is lower by this share
NUMBERS = ("step", "best_step", "smoothed", "best")  # of a state, beside its tensors


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        steps: Most steps.
        lr, multiplier_lr: Adam's learning rates of the log odds and of the multipliers.
        batch_size: Prompts a step.
        patience: Stop when the target is met and the smoothed loss hasn't fallen for so many steps; None for never.
        memory: About how many bytes a step may keep for its backward pass.

    Raises:
        RunError: A number is out of range.
    """

    steps: Steps
    lr: Learning
    multiplier_lr: Learning
    batch_size: Count
    patience: Steps | None
    memory: Bytes

    def __post_init__(self) -> None:
        for each in fields(self):
            checked(each.name, each.type, getattr(self, each.name))


@dataclass
class Descent:
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
        for parameter in self.parameters:  # as Adam makes it
            moments = {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
            self.adam.state[parameter] = {"step": torch.tensor(0.0), **moments}

    def descend(self, total: Float64[Tensor, ""], loss: float) -> None:
        """One step of Adam; `loss` is the total without the term for sparsity."""
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

    def keep(self, checkpoint: Checkpoint | None) -> None:
        """Record everything, exact to the last bit."""
        if checkpoint is not None:
            numbers = {name: torch.tensor(getattr(self, name), dtype=torch.float64) for name in NUMBERS}
            checkpoint.keep({name: tensor.detach() for name, tensor in self._tensors().items()} | numbers)

    def load(self, checkpoint: Checkpoint | None) -> None:
        """Go to the recorded state, if there is one of this training."""
        kept, tensors = None if checkpoint is None else checkpoint.load(), self._tensors()
        if kept is None or {name: kept[name].shape for name in kept if name not in NUMBERS} != {
            name: tensor.shape for name, tensor in tensors.items()
        }:
            return
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(kept[name])
        self.step, self.best_step = int(kept["step"]), int(kept["best_step"])
        self.smoothed, self.best = float(kept["smoothed"]), float(kept["best"])

    def _tensors(self) -> dict[str, Tensor]:
        """The parameters and what Adam holds of them, by name."""
        named = dict(zip(("log_alpha", "multipliers"), self.parameters, strict=True))
        held = {f"{name}.{part}": of for name, p in named.items() for part, of in self.adam.state[p].items()}
        return named | held
