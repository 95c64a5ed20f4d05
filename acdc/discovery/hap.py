"""HAP: scores first, exact after (hybrid attribution and pruning, taken to its end).

    score every edge
    for each destination, from the logits to the input:
        remove its edges in blocks, the weakest scores first, each block if the loss rises by less than tau
    ACDC from what is left on, sweep after sweep, until no edge can be removed

ACDC measures every edge by itself. Most of a large model's edges matter so little that many can be removed at once, and
scores say which: they cost a few passes for all edges together. Every removal is measured, as in ACDC; and what is
returned carries ACDC's own guarantee: every kept edge was measured in it, and is needed at tau.

It fails where a block hides what it holds: an edge that is needed can be removed beside one that harms, if scores put
them into one block. With `faithfulness` below 1 it also fails where scores do; see `docs/methods.md`.

Reference: Yang, Kwon, Kim 2025, Hybrid Attribution and Pruning (arXiv 2510.03282), which keeps the edges of largest
score and stops after one pass of ACDC over them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.discovery.acdc import acdc_from
from acdc.discovery.attribution.scorers import get_scorer
from acdc.discovery.blocks import Blocks
from acdc.discovery.checkpoint import Checkpoint, remembered
from acdc.discovery.measured import MeasuredLosses
from acdc.discovery.method import Method
from acdc.discovery.order import Order, edge_order
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.selection.by_faithfulness import by_faithfulness
from acdc.discovery.selection.candidates import Candidates, Mask
from acdc.discovery.sequential import by_first
from acdc.discovery.tau import Tau, threshold
from acdc.errors import RunError
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes, Checked, Range
from acdc.patching.exact.state import CircuitState, Edge
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "hap"]


def hap(
    problem: Problem,
    *,
    tau: Tau = 0.01,
    absolute: bool = False,
    scorer: Annotated[str, Checked(get_scorer)] = "eap-ig-inputs",
    faithfulness: Annotated[float, Range(0, 1, open_below=True)] = 1.0,
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
        scorer: The scorer whose scores say which edges are tried together.
        faithfulness: If less than 1, only the fewest edges of largest score that keep this share of the metric are
            started from, as the paper does; with 1, all of the model's.
        start: A circuit's file, or a run's folder, whose circuit to start from.
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
    order = edge_order(problem.graph, senders=senders, heads=heads, seed=problem.seed)
    first = _start(problem, scorer, faithfulness, start, checkpoint, progress)

    def removal() -> DiscoveryResult:
        state = CircuitState(problem, first.mask(problem), memory=memory)
        losses = MeasuredLosses(state, checkpoint)
        blocks = Blocks(state, least.removes, losses, progress)
        blocks.remove(_by_destination(first.edges, order, problem.graph.n_dst))
        left = state.n_edges
        found = acdc_from(state, losses, least, order, sweeps=sweeps, progress=progress)
        return replace(
            found,
            cost={
                **found.cost,
                "blocks": blocks.tried,
                "forward_passes": first.forward_passes + found.cost["forward_passes"],
                "backward_passes": first.backward_passes,
            },
            diagnostics={**found.diagnostics, "started_from": len(first.edges), "left_by_blocks": left},
        )

    return by_first(problem, "hap, after its scores,", removal)


@dataclass(frozen=True)
class _Start:
    """The edges that exact removal starts from, as flat places in `[src, dst]`, the weakest scores first."""

    edges: Sequence[int]
    forward_passes: int = 0
    backward_passes: int = 0

    def mask(self, problem: Problem) -> Mask | None:
        """Their mask; None for the whole model."""
        if len(self.edges) == problem.graph.n_edges:
            return None
        mask = torch.zeros_like(problem.graph.edges_mask)
        mask.view(-1)[torch.tensor(self.edges, dtype=torch.long)] = True
        return mask


def _by_destination(weakest_first: Sequence[int], order: Sequence[Edge], n_dst: int) -> dict[int, list[int]]:
    """Each destination's sources as they come in `weakest_first`, destinations as they come in ACDC's order."""
    found: dict[int, list[int]] = {dst: [] for _, dst in order}
    for edge in weakest_first:
        src, dst = divmod(edge, n_dst)
        found[dst].append(src)
    return found


def _start(
    problem: Problem,
    scorer: str,
    faithfulness: float,
    place: str | None,
    checkpoint: Checkpoint | None,
    progress: Callable[[Progress], None] | None,
) -> _Start:
    """The edges to start from; those that a stopped search started from, if there was one."""
    whole = problem.graph.edges_mask.flatten()
    given = None if place is None else _given(problem, place)

    def found() -> list[float]:
        first = _scored(problem, scorer, faithfulness, given, progress)
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


def _scored(
    problem: Problem,
    scorer: str,
    faithfulness: float,
    given: Mask | None,
    progress: Callable[[Progress], None] | None,
) -> _Start:
    """The edges of a given circuit, or those that keep enough, by their scores."""
    found = get_scorer(scorer)(problem, progress=progress)
    forward_passes, backward_passes = (int(found.cost.get(f"{way}_passes", 0)) for way in ("forward", "backward"))
    mask = problem.graph.edges_mask if given is None else given
    if given is None and faithfulness < 1:
        candidates = Candidates(problem, found.scores, mask, progress=progress)
        chosen = by_faithfulness(candidates, faithfulness=faithfulness)
        mask, forward_passes = problem.prune(chosen.mask), forward_passes + chosen.forward_passes
    return _Start(_weakest_first(mask, found.scores), forward_passes, backward_passes)


def _weakest_first(mask: Mask, scores: Float[Tensor, "src dst"]) -> list[int]:
    """A circuit's edges by the size of their scores; where one is NaN, last."""
    edges = mask.flatten().nonzero()[:, 0]
    sizes = scores.flatten()[edges].abs().nan_to_num(nan=torch.inf)
    return edges[sizes.argsort(stable=True)].tolist()


def _given(problem: Problem, place: str) -> Mask:
    circuit = Circuit.load(place, problem.graph)
    if circuit.n_edges == 0:
        raise RunError("the circuit to start from has no edges, so none can be removed; give another, or no start")
    return circuit.mask


METHOD = Method(
    "hap",
    "removal in blocks that scores choose, then ACDC until no edge can be removed",
    "Yang et al. 2025, to its end",
    hap,
    threshold="tau",
    faster="eap-ig-inputs",
    engines=("gradient", "exact"),
)
