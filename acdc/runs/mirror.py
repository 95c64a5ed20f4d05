"""What other processes than the first see of a run's checkpoint: what it found in the file; they write nothing.

All processes ask the same of their checkpoints in the same order, so each stays what the first one's is.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from torch import Tensor

from acdc.ranks import Ranks
from acdc.runs.checkpoint import FileCheckpoint

__all__ = ["MirroredCheckpoint", "mirrored"]


class MirroredCheckpoint:
    """A checkpoint in memory: see `FileCheckpoint`.

    Args:
        values: The recorded ones.
        state: The state that was kept last, if there is one.
        result: The search's recorded result, if it came to its end.
        recorded: How many lines and states an earlier process left.
    """

    def __init__(
        self,
        values: list[list[float]],
        state: Mapping[str, Tensor] | None,
        result: dict[str, Any] | None,
        recorded: int,
    ) -> None:
        self.values, self._state, self.result, self.recorded, self._next = values, state, result, recorded, 0

    def next(self) -> list[float] | None:
        """The next recorded values; None when all have been read."""
        if self._next == len(self.values):
            return None
        self._next += 1
        return self.values[self._next - 1]

    def reject(self) -> None:
        """Forget the values that were given back last, and all after them."""
        self._next -= 1
        del self.values[self._next :]

    def forget_result(self) -> None:
        """Drop the recorded result; what was measured stays."""
        self.result = None

    def load(self) -> Mapping[str, Tensor] | None:
        """The state that was kept last."""
        return self._state

    def append(self, values: list[float]) -> None:
        """The first process records them."""

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """The first process keeps it."""

    def conclude(self, result: dict[str, Any]) -> None:
        """The first process records it."""

    def discard(self) -> None:
        """The first process removes the file."""

    def __enter__(self) -> "MirroredCheckpoint":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


def mirrored(
    ranks: Ranks, own: FileCheckpoint | MirroredCheckpoint | None
) -> FileCheckpoint | MirroredCheckpoint | None:
    """The first process's checkpoint as it is, and in the others what it holds; None where the first has none.

    Args:
        own: The first process's; None in the others.
    """
    if ranks.n == 1:
        return own
    held = ranks.by_first(lambda: None if own is None else (own.values, own.load(), own.result, own.recorded))
    return own if ranks.is_first or held is None else MirroredCheckpoint(*held)
