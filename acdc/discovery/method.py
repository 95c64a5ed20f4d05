"""What a discovery method is, and what it gives back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.score_kinds import ScoreKind
from acdc.metrics import METRICS
from acdc.task import Task

__all__ = ["Checkpoint", "DiscoveryResult", "Method", "default_metric", "recorded"]


@dataclass(frozen=True)
class DiscoveryResult:
    """A method's result.

    Attributes:
        mask: The kept edges.
        scores: One number an edge; NaN where it wasn't measured.
        score_kind: What the scores are: see `acdc.circuits.score_kinds`.
        cost: What it took, like `forward_passes` (whole batches), `candidates` (edges tried).
        guarantees: What holds of the result by construction, like `minimal_at_tau`.
        diagnostics: What was measured on the way, like `completeness_error`.
        warnings: What a reader of the result must know, a sentence each.
        resolved: Options in the form that the search took them, where they are not as given: `tau` of a share, the
            `select` and `n_edges` that a large graph's default means.
    """

    mask: Bool[Tensor, "src dst"]
    scores: Float[Tensor, "src dst"]
    score_kind: ScoreKind
    cost: Mapping[str, int | float]
    guarantees: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    resolved: Mapping[str, Any] = field(default_factory=dict)


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


def recorded(checkpoint: Checkpoint | None, n: int) -> list[float] | None:
    """The next recorded values, if there are any and they are `n`; others are forgotten, and measured again."""
    values = None if checkpoint is None else checkpoint.next()
    if checkpoint is None or values is None or len(values) == n:
        return values
    checkpoint.reject()
    return None


@dataclass(frozen=True)
class Method:
    """A way to find a circuit.

    Attributes:
        search: `search(problem, *, checkpoint=None, progress=None, **options) -> DiscoveryResult`; its other
            keyword-only parameters are the method's options.
        at_clean: It takes gradients at the clean run, so it can't use a metric that is flat there.
    """

    name: str
    summary: str
    source: str
    search: Callable[..., DiscoveryResult]
    at_clean: bool = False


def default_metric(task: Task | type[Task], method: Method) -> str:
    """What a method minimises on a task where no metric is named: the task's own; its `gradient_metric` where that is
    flat at the clean run and the method takes gradients there."""
    flat = method.at_clean and task.metric in METRICS and METRICS[task.metric].flat_at_clean
    return task.gradient_metric if flat else task.metric
