"""The strongest edges and nodes of a graph: one order for all who take the first n of them.

Edges rank by the size of their score or, if `signed`, by the score itself; one that wasn't measured counts as 0, as it
stands in a circuit file. Where scores tie for the last places, "the n strongest" is not one circuit: ACDC's free
removals all have score 0, and what a sort makes of them decides a curve. So the order among equals can be drawn.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.circuits.graph import Graph

__all__ = ["first_edges", "n_tied", "ranked_edges", "strongest", "strongest_nodes", "top_edges"]


def ranked_edges(
    graph: Graph,
    scores: Float[Tensor, "src dst"] | None,
    *,
    signed: bool,
    among: Bool[Tensor, "src dst"] | None = None,
    ties: int | None = None,
) -> Int[Tensor, " edges"]:
    """The edges, as flat indices of `[src, dst]`, the strongest first.

    Args:
        scores: NaN: not measured. None: no edge was.
        signed: Rank by score, not by its size.
        among: True at the edges to rank; all by None.
        ties: Seed of the order among equals; by None the order of the graph, row by row.

    >>> graph = Graph(n_layers=1, n_heads=1, d_model=4)
    >>> scores = graph.mask_of(["a0.h0->logits"]).double() - 3 * graph.mask_of(["input->m0"]).double()
    >>> [graph.edge_name(*divmod(int(edge), graph.n_dst)) for edge in ranked_edges(graph, scores, signed=False)[:2]]
    ['input->m0', 'a0.h0->logits']
    """
    edges, values = _values(graph, scores, signed, among)
    if ties is not None:
        drawn = torch.randperm(len(edges), generator=torch.Generator().manual_seed(ties))
        edges, values = edges[drawn], values[drawn]
    return edges[values.argsort(descending=True, stable=True)]


def first_edges(graph: Graph, order: Int[Tensor, " edges"], n: int) -> Bool[Tensor, "src dst"]:
    """The mask of the first `n` edges of an order: flat indices of `[src, dst]`."""
    mask = torch.zeros(graph.n_src * graph.n_dst, dtype=torch.bool)
    mask[order[: max(0, n)]] = True
    return mask.view(graph.n_src, graph.n_dst)


def top_edges(
    graph: Graph,
    scores: Float[Tensor, "src dst"] | None,
    n: int,
    *,
    signed: bool,
    among: Bool[Tensor, "src dst"] | None = None,
    ties: int | None = None,
) -> Bool[Tensor, "src dst"]:
    """The mask of the `n` strongest edges: the first of `ranked_edges`, which says what the arguments are."""
    return first_edges(graph, ranked_edges(graph, scores, signed=signed, among=among, ties=ties), n)


def n_tied(graph: Graph, scores: Float[Tensor, "src dst"], n: int, *, signed: bool) -> int:
    """How many edges tie for the last of the first `n` places, some in vain; 0 where the first `n` are clear."""
    values = _values(graph, scores, signed, None)[1].sort(descending=True).values
    if not 0 < n < len(values) or values[n - 1] != values[n]:
        return 0
    return int((values == values[n]).sum())


def strongest(
    graph: Graph, kept: Bool[Tensor, "src dst"], scores: Float[Tensor, "src dst"] | None, n: int
) -> list[tuple[str, float]]:
    """The `n` kept edges of the largest scores in size: each one's name and score, NaN where it wasn't measured."""
    order = ranked_edges(graph, scores, signed=False, among=kept)[:n].tolist()
    values = [math.nan] * len(order) if scores is None else scores.flatten()[order].tolist()
    return [(graph.edge_name(*divmod(edge, graph.n_dst)), value) for edge, value in zip(order, values, strict=True)]


def strongest_nodes(graph: Graph, kept: Bool[Tensor, "src dst"], scores: Float[Tensor, "src dst"], n: int) -> list[str]:
    """Up to `n` heads and MLPs whose kept outgoing edges have the largest scores, in size and summed; none with a sum
    of 0."""
    totals = (kept * scores.abs().nan_to_num(0.0, posinf=1e300)).sum(1)
    totals[0] = 0.0  # the input
    order = totals.argsort(descending=True, stable=True)[:n].tolist()
    return [graph.sources[src] for src in order if totals[src] > 0]


def _values(
    graph: Graph, scores: Float[Tensor, "src dst"] | None, signed: bool, among: Bool[Tensor, "src dst"] | None
) -> tuple[Int[Tensor, " edges"], Float[Tensor, " edges"]]:
    """The edges to rank, and what they rank by."""
    edges = (graph.edges_mask if among is None else among).flatten().nonzero()[:, 0]
    if scores is None:
        return edges, torch.zeros(len(edges), dtype=torch.float64)
    values = scores.flatten()[edges.to(scores.device)].cpu().double()
    values = values.nan_to_num(nan=0.0, posinf=math.inf, neginf=-math.inf)
    return edges, values if signed else values.abs()
