"""HAP: scores first, exact after (hybrid attribution and pruning, taken to its end).

    C = the fewest edges of largest score that keep `faithfulness` of the metric
    for blocks of C's edges, those of the smallest slope first:
        remove a block if the loss rises by less than tau, else try a smaller one
    ACDC from C on, sweep after sweep, until none of its edges can be removed

An edge's slope is the rise of the loss when it is removed, to first order in the circuit as it is then (`blocks`).

Scores cost a few passes for all edges together, and the blocks a few dozen; so ACDC, which measures edge by edge,
starts with hundreds of edges and not with all of a large model's. What is returned carries ACDC's own guarantee: every
kept edge was measured in it, and is needed at tau.

It fails where scores do: an edge that the first step leaves out is never tried. Such are edges whose gradient is flat,
and those that back up others and count only without these; see `docs/methods.md`.

Reference: Yang, Kwon, Kim 2025, Hybrid Attribution and Pruning (arXiv 2510.03282), which stops after one pass of ACDC
over the chosen edges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.discovery.acdc import acdc_from
from acdc.discovery.attribution.scorers import get_scorer
from acdc.discovery.blocks import Blocks
from acdc.discovery.checkpoint import Checkpoint, remembered
from acdc.discovery.method import Method
from acdc.discovery.order import Order
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.selection.by_faithfulness import by_faithfulness
from acdc.discovery.selection.candidates import Candidates, Mask
from acdc.discovery.tau import Tau, threshold
from acdc.errors import RunError
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes, Checked, Range
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "hap"]


def hap(
    problem: Problem,
    *,
    tau: Tau = 0.01,
    absolute: bool = False,
    scorer: Annotated[str, Checked(get_scorer)] = "eap-ig-inputs",
    faithfulness: Annotated[float, Range(0, 1, open_below=True)] = 0.98,
    start: str | None = None,
    senders: Order = "late-first",
    heads: Order = "late-first",
    sweeps: Annotated[int, Range(0, 10_000)] = 0,
    memory: Bytes = MEMORY,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> DiscoveryResult:
    """Find a circuit by scores first, then by ACDC from what these leave.

    Args:
        tau: An edge, or a block of them, is removed if the loss rises by less than this: a number in the metric's unit,
            or a share like 5% of the whole effect, which is the loss with every edge removed minus the model's.
        absolute: Compare the change's size, so that an edge whose removal helps by `tau` or more stays too.
        scorer: The scorer that chooses the edges to start from.
        faithfulness: The share of the metric that these must keep; the more, the fewer needed edges are missed, and the
            longer it takes.
        start: A circuit's file, or a run's folder, whose circuit to start from instead of scoring.
        senders: Order in which a destination's sources are tried: late-first, early-first or random.
        heads: Order of the heads of a layer as destinations; q, k and v of a head follow each other.
        sweeps: How often to go through the edges one by one; 0 for until none can be removed, which makes the result
            minimal at tau.
        memory: About how many bytes a propagation may take.

    Returns:
        The kept edges. Scores are the measured rise of the loss when the edge alone was last tried, in the metric's
        unit; NaN for edges that were removed in blocks or not started from. Guarantees: `minimal_at_tau`, that every
        kept edge was measured in the very circuit that is returned, and stays by the rule above. Diagnostics:
        `started_from` and `left_by_blocks`, numbers of edges.

    Raises:
        RunError: An option is out of range, no edges keep enough, or a loss is NaN.
        UnknownNameError: There is no such order or scorer.
        FileError: There is no circuit of this model at `start`.
    """
    least = threshold(problem, tau, absolute=absolute)
    first = _start(problem, scorer, faithfulness, start, checkpoint, progress)
    blocks = Blocks(problem, least.removes, checkpoint, progress)
    found = acdc_from(
        blocks.remove(first.edges),
        problem,
        least,
        senders=senders,
        heads=heads,
        sweeps=sweeps,
        memory=memory,
        checkpoint=checkpoint,
        progress=progress,
    )
    passes = first.forward_passes + blocks.measured + blocks.surveys + found.cost["forward_passes"]
    return replace(
        found,
        cost={
            **found.cost,
            "blocks": blocks.measured,
            "forward_passes": passes,
            "backward_passes": first.backward_passes + blocks.surveys,
        },
        diagnostics={**found.diagnostics, "started_from": len(first.edges), "left_by_blocks": blocks.left},
    )


@dataclass(frozen=True)
class _Start:
    """The edges that exact removal starts from, as flat places in `[src, dst]`."""

    edges: Sequence[int]
    forward_passes: int = 0
    backward_passes: int = 0


def _start(
    problem: Problem,
    scorer: str,
    faithfulness: float,
    place: str | None,
    checkpoint: Checkpoint | None,
    progress: Callable[[Progress], None] | None,
) -> _Start:
    """The edges to start from: those that a stopped search started from, a given circuit's, or those of best scores."""
    whole = problem.model.graph.edges_mask.flatten()

    def found() -> list[float]:
        first = _scored(problem, scorer, faithfulness, progress) if place is None else _given(problem, place)
        return [float(x) for x in (first.forward_passes, first.backward_passes, *first.edges)]

    values = remembered(checkpoint, lambda values: _can_be_a_start(values, whole), found)
    forward_passes, backward_passes, *edges = map(int, values)
    return _Start(edges, forward_passes, backward_passes)


def _can_be_a_start(values: Sequence[float], whole: Bool[Tensor, " pairs"]) -> bool:
    """Whether recorded numbers are two counts and different edges."""
    edges = values[2:]
    return (
        len(edges) == len(set(edges)) > 0
        and all(x.is_integer() for x in values)
        and all(0 <= edge < len(whole) for edge in edges)
        and bool(whole[[int(edge) for edge in edges]].all())
    )


def _scored(problem: Problem, scorer: str, faithfulness: float, progress: Callable[[Progress], None] | None) -> _Start:
    found = get_scorer(scorer)(problem, progress=progress)
    graph = problem.model.graph
    chosen = by_faithfulness(
        Candidates(problem, found.scores, graph.edges_mask, progress=progress), faithfulness=faithfulness
    )
    return _Start(
        _places(chosen.mask),
        int(found.cost.get("forward_passes", 0)) + chosen.forward_passes,
        int(found.cost.get("backward_passes", 0)),
    )


def _given(problem: Problem, place: str) -> _Start:
    circuit = Circuit.load(place, problem.model.graph)
    if circuit.n_edges == 0:
        raise RunError("the circuit to start from has no edges, so none can be removed; give another, or no start")
    return _Start(_places(circuit.mask))


def _places(mask: Mask) -> list[int]:
    return mask.flatten().nonzero()[:, 0].tolist()


METHOD = Method(
    "hap",
    "a circuit by scores, then ACDC from it until no edge can be removed",
    "Yang et al. 2025, to its end",
    hap,
    threshold="tau",
)
