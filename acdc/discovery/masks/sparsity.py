"""What makes a circuit small while its loss is minimised: a Lagrangian of a wanted size, or an L0 penalty."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float64, Shaped
from torch import Tensor

__all__ = ["L0Penalty", "Lagrangian"]

NEAR = 0.01  # a target counts as met within this share of all gates
Kinds = Float64[Tensor, " kinds"]


@dataclass(frozen=True)
class Lagrangian:
    """Learned multipliers that lead to a given share of closed gates of each kind.

    `Σ_kinds lambda_1 (t - s) + lambda_2 (t - s)²` with s the expected share of closed gates; t rises linearly from the
    share at the start to the target over the first `warmup` steps. The multipliers ascend.

    Reference:
        Wang et al. 2020 (structured pruning), section 3.2; Bhaskar et al. 2024, section 3.
    """

    sparsity: Sequence[float]
    warmup: int

    @property
    def n_multipliers(self) -> int:
        return 2 * len(self.sparsity)

    def __call__(self, closed: Kinds, first: Kinds, multipliers: Shaped[Tensor, " n"], step: int) -> Tensor:
        """What is added to the loss in a step: `closed` now, `first` at the start."""
        share = min(1.0, (step + 1) / max(1, self.warmup))
        gap = first + (closed.new_tensor(self.sparsity) - first) * share - closed
        linear, square = multipliers.chunk(2)
        return (linear * gap + square * gap**2).sum()

    def is_met(self, closed: Kinds, step: int) -> bool:
        return step >= self.warmup and bool(((closed - closed.new_tensor(self.sparsity)).abs() <= NEAR).all())


@dataclass(frozen=True)
class L0Penalty:
    """A penalty of `each` for every gate that is expected to be open, of `total` gates, in the loss's unit; it rises
    from 0 over the first `warmup` steps."""

    each: float
    total: float
    warmup: int
    n_multipliers: int = 0

    def __call__(self, closed: Kinds, first: Kinds, multipliers: Shaped[Tensor, " n"], step: int) -> Tensor:
        """What is added to the loss in a step: `closed` now, `first` at the start."""
        return self.each * min(1.0, (step + 1) / max(1, self.warmup)) * self.total * (1 - closed).sum()

    def is_met(self, closed: Kinds, step: int) -> bool:
        return step >= self.warmup
