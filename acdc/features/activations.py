"""What makes features of pre-activations: never negative, and zero for most."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Activation", "Gated", "GroupMax", "JumpReLU", "ReLU", "TopK"]


@runtime_checkable
class Activation(Protocol):
    """A function of the pre-activations, `[*tokens n_features]` to features of the same shape."""

    def __call__(self, pre: Float[Tensor, "*tokens n"]) -> Float[Tensor, "*tokens n"]: ...

    def to(self, *place: torch.device | torch.dtype) -> "Activation":
        """The same on another device, or in another type."""
        ...


@dataclass(frozen=True)
class ReLU:
    """Those above zero."""

    def __call__(self, pre: Float[Tensor, "*tokens n"]) -> Float[Tensor, "*tokens n"]:
        return torch.relu(pre)

    def to(self, *place: torch.device | torch.dtype) -> "ReLU":
        return self


@dataclass(frozen=True)
class TopK:
    """The k largest of each token that are above zero (Gao et al. 2024, section 2.3)."""

    k: int

    def __call__(self, pre: Float[Tensor, "*tokens n"]) -> Float[Tensor, "*tokens n"]:
        chosen = pre.topk(self.k, -1).indices
        return torch.zeros_like(pre).scatter(-1, chosen, pre.gather(-1, chosen).relu())

    def to(self, *place: torch.device | torch.dtype) -> "TopK":
        return self


@dataclass(frozen=True)
class GroupMax:
    """The largest of each of k groups of neighbours, if it is above zero (sparsify: `groupmax`)."""

    k: int

    def __call__(self, pre: Float[Tensor, "*tokens n"]) -> Float[Tensor, "*tokens n"]:
        groups = pre.unflatten(-1, (self.k, -1))
        largest = groups.max(-1, keepdim=True)
        return torch.zeros_like(groups).scatter(-1, largest.indices, largest.values.relu()).flatten(-2)

    def to(self, *place: torch.device | torch.dtype) -> "GroupMax":
        return self


@dataclass(frozen=True)
class JumpReLU:
    """Those above a threshold, a feature's own or one for all, and above zero (Rajamanoharan et al. 2024)."""

    threshold: Float[Tensor, "*n"]

    def __call__(self, pre: Float[Tensor, "*tokens n"]) -> Float[Tensor, "*tokens n"]:
        return torch.where(pre > self.threshold, torch.relu(pre), torch.zeros_like(pre))

    def to(self, *place: torch.device | torch.dtype) -> "JumpReLU":
        threshold = self.threshold
        for where in place:
            threshold = threshold.to(where)
        return JumpReLU(threshold)


@dataclass(frozen=True)
class Gated:
    """Open where the pre-activation, `x W_enc + b_gate`, is above zero; of the size
    `relu((x W_enc) exp(r_mag) + b_mag)` (Rajamanoharan et al. 2024, gated SAEs, section 3.2)."""

    b_gate: Float[Tensor, " n"]
    r_mag: Float[Tensor, " n"]
    b_mag: Float[Tensor, " n"]

    def __call__(self, pre: Float[Tensor, "*tokens n"]) -> Float[Tensor, "*tokens n"]:
        size = torch.relu((pre - self.b_gate) * self.r_mag.exp() + self.b_mag)
        return torch.where(pre > 0, size, torch.zeros_like(size))

    def to(self, *place: torch.device | torch.dtype) -> "Gated":
        parts = [self.b_gate, self.r_mag, self.b_mag]
        for where in place:
            parts = [part.to(where) for part in parts]
        return Gated(*parts)
