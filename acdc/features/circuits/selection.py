"""Which nodes a circuit keeps, by their effects: so many, those of at least a size, or the fewest that keep a share of
the metric."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from acdc.discovery.selection.by_faithfulness import MOST_PASSES, smallest
from acdc.errors import RunError, counted
from acdc.features.circuits.masks import Kept
from acdc.features.circuits.nodes import NodeName
from acdc.features.circuits.runs import FeatureRuns
from acdc.features.circuits.steps import Step, afresh

__all__ = ["Chosen", "choose"]

Ranked = Sequence[tuple[NodeName, float]]


class Chosen(NamedTuple):
    """The nodes of a circuit with their effects, the strongest first; `told` is what was measured on the way."""

    nodes: tuple[tuple[NodeName, float], ...]
    told: dict[str, Any]
    passes: int = 0


def choose(
    runs: FeatureRuns,
    ranked: Ranked,
    *,
    threshold: float | None = None,
    n_nodes: int | None = None,
    faithfulness: float | None = None,
    step: Step = afresh,
    note: Callable[[], None] = lambda: None,
) -> Chosen:
    """The strongest nodes, by the one of these that is given.

    Args:
        ranked: The nodes that may be chosen, the largest effect in size first.
        step: Called with each circuit that is measured.
        note: Called behind it.

    Raises:
        RunError: No node would be kept; the metric doesn't tell the model from all nodes ablated; all nodes don't keep
            the share of it that is asked for.
    """
    if not ranked:
        raise RunError("no node has an effect: the features are the same on clean and ablated prompts")
    if threshold is not None:
        kept = tuple(pair for pair in ranked if abs(pair[1]) >= threshold)
        if not kept:
            name, most = ranked[0]
            raise RunError(f"no node's effect reaches {threshold:g}: the largest is {most:.3g}, of {name}; lower it")
        return Chosen(kept, {"threshold": threshold})
    if n_nodes is not None:
        return Chosen(tuple(ranked[:n_nodes]), {"n_nodes": n_nodes})
    assert faithfulness is not None, "one way to choose is given"
    curve = _Measured.of(runs, ranked, step, note)
    if not (most := curve.at(len(ranked))) >= faithfulness:
        raise RunError(
            f"all {counted(len(ranked), 'node')} that may be chosen keep {most:.3g} of "
            f"{runs.problem.objective.metric.name}, not {faithfulness:g}: ask for less, or keep errors (errors='kept')"
        )
    n = smallest(curve, len(ranked), faithfulness)
    told = {"faithfulness_asked": faithfulness, "faithfulness": curve.at(n), "curve": curve.points()}
    return Chosen(tuple(ranked[:n]), told, curve.passes)


@dataclass
class _Measured:
    """Faithfulness by the number of nodes, measured where it is asked for."""

    runs: FeatureRuns
    ranked: Ranked
    full: float
    empty: float
    step: Step
    note: Callable[[], None]
    passes: int = 1
    by_size: dict[int, float] = field(default_factory=lambda: {0: 0.0})

    @classmethod
    def of(cls, runs: FeatureRuns, ranked: Ranked, step: Step, note: Callable[[], None]) -> "_Measured":
        full, empty = runs.problem.model_loss, _loss(runs, ranked[:0], step)
        note()
        if not abs(empty - full) > 1e-12:
            raise RunError(
                f"{runs.problem.objective.metric.name} is the same for the model and with every node ablated, so no "
                "share of it can be kept: choose another metric, other sites, or nodes by number (n_nodes)"
            )
        return cls(runs, ranked, full, empty, step, note)

    @property
    def left(self) -> int:
        return MOST_PASSES - self.passes

    def at(self, n: int) -> float:
        """What the n strongest nodes keep."""
        if n not in self.by_size:
            self.passes += 1
            loss = _loss(self.runs, self.ranked[:n], self.step)
            self.by_size[n] = (self.empty - loss) / (self.empty - self.full)
            self.note()
        return self.by_size[n]

    def points(self) -> list[dict[str, float | int]]:
        """All that was measured, the smallest circuit first."""
        return [{"n_nodes": n, "faithfulness": found} for n, found in sorted(self.by_size.items())]


def _loss(runs: FeatureRuns, nodes: Ranked, step: Step) -> float:
    """The loss of the circuit of some nodes."""
    kept = Kept.of(runs.placed, runs.problem.batch.spans, (name for name, _ in nodes))
    found = step(f"circuit-{len(nodes)}", lambda: {"loss": torch.tensor(runs.loss(kept), dtype=torch.float64)})
    return float(found["loss"])
