"""Where a training keeps its state."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Keeper"]


@runtime_checkable
class Keeper(Protocol):
    """Holds one state, so that a stopped training can go on from it; checkpoints of searches do."""

    def load(self) -> Mapping[str, Tensor] | None:
        """The state that was kept last; None where there is none."""
        ...

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Keep a state instead of the one before."""
        ...
