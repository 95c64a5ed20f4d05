"""Part `certificate`: is the circuit minimal, every kept edge being needed by its exact knock-out effect?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from acdc.evaluation.cost import Cost
from acdc.evaluation.knockouts import Step, knock_out_edges, work_of_knock_outs
from acdc.evaluation.numbers import Number, number
from acdc.evaluation.part import Line, Part
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.evaluation.work import Work
from acdc.options.defaults import DIRECTION
from acdc.patching.direction import directed
from acdc.patching.problem import Problem

__all__ = ["PART", "Certificate", "certify"]

SHOWN = 3  # failing edges in the summary


@dataclass(frozen=True)
class Certificate(Part):
    """Whether a circuit is minimal at tau: no kept edge can be removed alone at a cost below tau.

    Attributes:
        holds: Whether every kept edge's effect is at least tau; None without a tau.
        tau: In the unit of `metric`.
        metric: In whose loss the effects are.
        absolute: Whether the size of the change counts, not its sign.
        failing: The edges whose effect is below tau, the least needed first.
        weakest: The edge with the smallest effect; None where the circuit is empty.
        least_effect: That effect.
        effects: Each kept edge's effect: the rise of the loss when it alone is removed.
        direction: In which the circuit was found, and the edges are removed: see `acdc.patching.direction`.
    """

    name = "certificate"
    summary = "whether every kept edge's exact knock-out effect is at least tau"
    order = 20
    unit = "edges"

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
    effects: Mapping[str, Number]
    direction: str = DIRECTION

    def __post_init__(self) -> None:
        if self.holds is not None and self.tau is None:
            raise ValueError("a certificate that holds or fails needs its tau")

    @classmethod
    def measure(cls, work: Work) -> "Certificate":
        direction = work.arguments.get("direction", DIRECTION)
        found = certify(
            directed(work.discovery, direction),
            work.mask,
            work.settings.tau,
            absolute=bool(work.arguments.get("options", {}).get("absolute")),
            recorder=work.recorder,
            progress=work.step,
        )
        return replace(found, direction=direction)

    @classmethod
    def cost(cls, work: Work) -> Cost:
        runs = work_of_knock_outs(work.discovery, work.mask)
        return Cost(1 + work.circuit.n_edges, sparse=runs * work.discovery.batch.n)

    def lines(self) -> Iterator[Line]:
        where = f"{self.n_prompts} discovery prompts, {self.metric}"
        where += "" if self.direction == DIRECTION else f", {self.direction}"
        least = "" if self.weakest is None else f"least {number(self.least_effect)}, {self.weakest}"
        if self.holds is None:
            yield self.name, f"no tau to check against ({where}); {least}"
        elif self.holds:
            yield self.name, f"minimal at tau {self.tau:g}: every edge is needed ({where}; {least})"
        else:
            some = ", ".join(self.failing[:SHOWN]) + (", …" if len(self.failing) > SHOWN else "")
            short = f"{len(self.failing)} of {self.n_edges} edges fall short"
            yield self.name, f"not minimal at tau {self.tau:g}: {short}: {some} ({where}; {least})"

    def edges(self) -> Mapping[str, Mapping[str, Any]]:
        return {"effect_discovery": self.effects}


def certify(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    tau: float | None = None,
    *,
    absolute: bool = False,
    memory: int | None = None,
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
    graph = problem.graph
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


PART = Certificate
