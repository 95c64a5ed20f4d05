"""What a propagation is asked, what it answers, and what it notes on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.patching.exact.cache import Updates
from acdc.patching.exact.changes import Removal
from acdc.patching.exact.reachability import Reach

__all__ = ["ChangedSources", "Propagated", "Question"]


@dataclass(frozen=True)
class Question:
    """What the circuit would compute.

    Attributes:
        mask: Its kept edges.
        reach: What its activations change.
        removals: The edges into each destination without which the copies are computed. A copy that removes an edge of
            the mask doesn't carry its source's change either.
        copies: How many copies of the batch.
        input: What the source `input` writes, if that changes.
    """

    mask: Bool[np.ndarray, "src dst"]
    reach: Reach
    removals: Mapping[int, Removal]
    copies: int = 1
    input: Float[Tensor, "rows d_model"] | None = None


class Propagated(NamedTuple):
    """The last residual stream at the last positions; and of one copy, if they are to be kept, its activations."""

    final: Float[Tensor, "copies batch d_model"]
    updates: Updates


class ChangedSources:
    """Sources in the order in which they were computed, and their changes in the residual stream."""

    def __init__(self, room: int, copies: int, like: Float[Tensor, "rows d_model"]) -> None:
        self.sources: list[int] = []
        self._changes = like.new_empty(room, copies, *like.shape)

    @property
    def changes(self) -> Float[Tensor, "n copies rows d_model"]:
        """Their changes."""
        return self._changes[: len(self.sources)]

    def add(self, sources: list[int], change: Float[Tensor, "n copies rows d_model"]) -> None:
        """Note what some more write."""
        self._changes[len(self.sources) : len(self.sources) + len(sources)] = change
        self.sources += sources
