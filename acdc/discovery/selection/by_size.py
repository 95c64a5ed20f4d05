"""Circuits of a given number of edges: the best ones, or those that a walk from the logits back meets first."""

import heapq
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.circuits.ranking import first_edges
from acdc.discovery.cautions import cautions
from acdc.discovery.selection.candidates import Candidates, Mask, Order, Selected
from acdc.discovery.selection.take import Taken, take
from acdc.errors import RunError
from acdc.options.ranges import Count, Share

__all__ = ["greedy", "greedy_order", "top_n"]


def top_n(candidates: Candidates, *, n_edges: Count, positive_share: Share | None = None) -> Selected:
    """Keep the n best edges.

    Args:
        n_edges: How many edges the circuit has: the ranking is gone through until so many lie on paths from the input
            to the logits.
        positive_share: Of the best edges, so many have positive scores and the others negative ones.

    Raises:
        RunError: The model has no so many edges, or `positive_share` is given though the sign ranks.
    """
    return _first(candidates, candidates.order(positive_share), n_edges)


def greedy(candidates: Candidates, *, n_edges: Count) -> Selected:
    """Keep n edges, from the logits back: always the best one into a node that the circuit holds.

    Args:
        n_edges: How many edges the circuit has.

    Raises:
        RunError: The model has no so many edges.
    """
    graph = candidates.problem.graph
    order = greedy_order(graph, candidates.scores, candidates.among, signed=candidates.signed)
    return _first(candidates, order, n_edges)


def greedy_order(graph: Graph, scores: Float[Tensor, "src dst"], among: Mask, *, signed: bool = False) -> Order:
    """The edges in the order in which they are added from the logits back: always the best one into a node that the
    circuit holds already (Hanna et al. 2024, section 3)."""
    values = scores.nan_to_num(0.0)
    values = values if signed else values.abs()
    heap, held, opened, order = list[tuple[float, int]](), set[int](), set[int](), list[int]()

    def open_up(dsts: Iterable[int]) -> None:
        for dst in dsts:
            if dst in opened:
                continue
            opened.add(dst)
            for src in among[:, dst].nonzero()[:, 0].tolist():
                heapq.heappush(heap, (-float(values[src, dst]), src * graph.n_dst + dst))

    open_up([graph.n_dst - 1])  # the logits
    while heap:
        _, edge = heapq.heappop(heap)
        order.append(edge)
        if (site := graph.site(*divmod(edge, graph.n_dst))) not in held:
            held.add(site)
            open_up(graph.dsts_of_site[site])
    return torch.tensor(order, dtype=torch.long)


def _first(candidates: Candidates, order: Order, n: int) -> Selected:
    """The circuit of n edges of an order."""
    problem = candidates.problem
    graph = problem.graph
    if n > graph.n_edges:
        raise RunError(f"n_edges must be from 1 to the model's {graph.n_edges:,} edges, not {n:,}")
    if candidates.prune:
        taken = take(graph, order, n, from_input=problem.ablated.coherent)
    else:
        taken = Taken(first_edges(graph, order, n), min(n, len(order)))
    more, less = "ask for more edges (n_edges)", "ask for fewer edges (n_edges)"
    told = [*_shortfall(candidates, taken.mask, n, len(order)), *cautions(problem, taken.mask, more=more, less=less)]
    return Selected(taken.mask, diagnostics={"edges_gone_through": taken.gone_through}, warnings=told)


def _shortfall(candidates: Candidates, mask: Mask, wanted: int, n_among: int) -> list[str]:
    """Why there are fewer edges than were asked for."""
    if (n := int(mask.sum())) == wanted:
        return []
    why = " and lie on paths from the input to the logits" if candidates.prune and n_among > n else ""
    which = f"only so many of the {n_among:,} edges whose sign holds in the resamples can be joined{why}"
    return [f"the circuit has {n:,} edges instead of {wanted:,}: {which}; resample less, or lower agreement"]
