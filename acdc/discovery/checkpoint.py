"""What a search asks of the place that keeps its measurements, so that it can be stopped and go on."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Checkpoint", "recorded", "remembered"]


@runtime_checkable
class Checkpoint(Protocol):
    """Measured values, written as they come, so that a stopped search can go on where it was."""

    def next(self) -> list[float] | None:
        """The next recorded values; None when all have been read."""
        ...

    def reject(self) -> None:
        """Forget the values that were given back last, and all after them: they don't fit this search."""
        ...

    def append(self, values: list[float]) -> None:
        """Record values."""
        ...

    def load(self) -> Mapping[str, Tensor] | None:
        """The state that was kept last; None where there is none."""
        ...

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Keep a state instead of the one before: for a search whose steps are more than their measurements."""
        ...


def recorded(checkpoint: Checkpoint | None, fits: Callable[[list[float]], bool]) -> list[float] | None:
    """The next recorded values, if there are any and they fit; others are forgotten, and measured again."""
    values = None if checkpoint is None else checkpoint.next()
    if checkpoint is None or values is None or fits(values):
        return values
    checkpoint.reject()
    return None


def remembered(
    checkpoint: Checkpoint | None, fits: Callable[[list[float]], bool], measure: Callable[[], list[float]]
) -> list[float]:
    """The next recorded values, if there are any and they fit; else what is measured now, which is recorded."""
    values = recorded(checkpoint, fits)
    if values is None:
        values = measure()
        if checkpoint is not None:
            checkpoint.append(values)
    return values
