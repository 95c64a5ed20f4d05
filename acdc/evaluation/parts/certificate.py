"""The certificate of minimality: every kept edge is needed, by its exact knock-out effect."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Bool
from torch import Tensor

from acdc.defaults import MEMORY
from acdc.evaluation.knockouts import Step, knock_out_edges
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.patching.problem import Problem

__all__ = ["Certificate", "certify"]


@dataclass(frozen=True)
class Certificate:
    """Whether a circuit is minimal at tau: no kept edge can go alone at a cost below tau.

    Attributes:
        holds: Whether every kept edge's effect is at least tau; None without a tau.
        effects: Each kept edge's effect: the rise of the loss without it, in the unit of `metric`.
        failing: The edges whose effect is below tau, the least needed first.
        weakest: The edge with the smallest effect.
        absolute: The size of the change counts, not its sign.
    """

    holds: bool | None
    tau: float | None
    metric: str
    absolute: bool
    failing: tuple[str, ...]
    weakest: str | None
    least_effect: float | None
    n_edges: int
    n_prompts: int
    forward_passes: int
    effects: Mapping[str, float] = field(default_factory=dict)


def certify(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    tau: float | None = None,
    *,
    absolute: bool = False,
    memory: int = MEMORY,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> Certificate:
    """Measure every kept edge's knock-out effect in the circuit, exactly, and compare it with tau.

    ACDC tests an edge when later decisions are still open, so its result need not be minimal: an edge that mattered
    then may not now. This asks about the circuit as it is.

    Args:
        tau: The least effect that a kept edge must have, in the metric's unit; None only measures.
        absolute: Compare the change's size, as ACDC's option of this name does.
    """
    found = knock_out_edges(problem, mask, memory=memory, recorder=recorder, progress=progress)
    graph = problem.model.graph
    measured = found.effects.abs() if absolute else found.effects
    order = sorted(mask.nonzero().tolist(), key=lambda edge: float(measured[tuple(edge)]))
    names = {graph.edge_name(*edge): float(measured[tuple(edge)]) for edge in order}
    failing = () if tau is None else tuple(name for name, effect in names.items() if not effect >= tau)
    weakest = next(iter(names), None)
    return Certificate(
        holds=None if tau is None else not failing,
        tau=tau,
        metric=problem.objective.metric.name,
        absolute=absolute,
        failing=failing,
        weakest=weakest,
        least_effect=None if weakest is None else names[weakest],
        n_edges=int(mask.sum()),
        n_prompts=found.n_prompts,
        forward_passes=found.forward_passes,
        effects={graph.edge_name(i, j): float(found.effects[i, j]) for i, j in mask.nonzero().tolist()},
    )
