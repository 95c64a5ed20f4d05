"""Influence: how much of what the logits read comes through each node and edge, along all paths (Ameisen et al. 2025).

Made for attribution graphs, the algebra (`acdc.circuits.flow`) holds for any weighted graph: row t of A is what t
reads, as shares of the sizes of its incoming weights, and the influence of all nodes on the roots, whose weights are w,
is

    w (A + A^2 + ...) = w ((I - A)^-1 - I)

Where edges are split by span, what a head at one span writes is made of its query there and of the keys and values at
all spans that it attends to, so an edge into a key or value is read at that span and at every later one.

A share says where a signal comes from, not whether it matters: a node that is read much and changes nothing has much.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acdc.circuits.flow import EDGE_SHARE, NODE_SHARE, fewest, sum_of_paths
from acdc.circuits.weighted import WeightedGraph

__all__ = ["CROSSING", "Influence", "influence", "prune_by_influence", "readers"]

ALWAYS = ("input", "logits")
CROSSING = ("k", "v")  # inputs by which a head reads other spans

Matrix = Float[np.ndarray, "dst src"]


@dataclass(frozen=True)
class Influence:
    """What reaches the roots.

    Attributes:
        nodes: Of each node, by its id, in [0, 1]; a root's own weight doesn't count.
        edges: Of each edge, in the graph's order: its share of what its destination reads, times the destination's.
    """

    nodes: Mapping[str, float]
    edges: tuple[float, ...]


def influence(graph: WeightedGraph) -> Influence:
    """The influence of all nodes and edges on the logits.

    Weights count by their size; where no edge has one, each counts 1. The roots are the nodes of kind `logits`, all
    with one weight, together 1.

    >>> from acdc.circuits.weighted import WeightedEdge, WeightedNode
    >>> nodes = (WeightedNode("input", "input", -1), WeightedNode("m0", "mlp", 0), WeightedNode("logits", "logits", 1))
    >>> edges = (WeightedEdge("input", "m0", weight=2.0), WeightedEdge("m0", "logits", weight=-1.0),
    ...          WeightedEdge("input", "logits", weight=3.0))
    >>> influence(WeightedGraph(nodes, edges)).nodes
    {'input': 1.0, 'm0': 0.25, 'logits': 0.0}
    """
    place, across = {node.id: i for i, node in enumerate(graph.nodes)}, readers(graph)
    reads = [  # an edge, and a node that reads it
        (i, place[name])
        for i, edge in enumerate(graph.edges)
        for name in (across.get(edge.dst, (edge.dst,)) if edge.input in CROSSING else (edge.dst,))
    ]
    edges, rows = (np.array(ends, dtype=int) for ends in (zip(*reads, strict=True) if reads else ((), ())))
    columns = np.array([place[edge.src] for edge in graph.edges], dtype=int)[edges]
    sizes, totals = _sizes(graph)[edges], np.zeros(len(place))
    np.add.at(totals, rows, sizes)
    shares = np.divide(sizes, totals[rows], out=np.zeros(len(sizes)), where=totals[rows] > 0)
    read: Matrix = np.zeros((len(place), len(place)))
    np.add.at(read, (rows, columns), shares)
    is_root = np.array([node.kind == "logits" for node in graph.nodes], dtype=float)
    roots = is_root / max(1.0, is_root.sum())
    reached = sum_of_paths(read, roots)
    by_edge = np.zeros(len(graph.edges))
    np.add.at(by_edge, edges, shares * (reached + roots)[rows])
    return Influence(dict(zip(place, reached.tolist(), strict=True)), tuple(by_edge.tolist()))


def readers(graph: WeightedGraph) -> dict[str, tuple[str, ...]]:
    """Of each head at a span with a key or value input: the nodes of the same head that read it, at that span or later.

    Empty for a graph whose edges are not split by span.
    """
    order = {name: i for i, name in enumerate(graph.spans)}
    if not order:
        return {}
    entered = {edge.dst for edge in graph.edges if edge.input in CROSSING}
    writing = {edge.src for edge in graph.edges}
    by_head = defaultdict(list)
    for node in graph.nodes:
        by_head[node.label].append(node)
    return {
        node.id: tuple(
            other.id
            for other in by_head[node.label]
            if other.id in writing and order[other.span or ""] >= order[node.span or ""]
        )
        for node in graph.nodes
        if node.id in entered
    }


def prune_by_influence(
    graph: WeightedGraph, *, nodes: float = NODE_SHARE, edges: float = EDGE_SHARE
) -> tuple[WeightedGraph, Influence]:
    """The part of a graph that carries most of the influence, and the influence of what is left.

    The fewest nodes with a share `nodes` of all nodes' influence stay, and of the edges between these the fewest with a
    share `edges`; then what has no incoming or no outgoing edge any more is removed until nothing changes. `input` and
    `logits` always stay.
    """
    found = influence(graph)
    ids = [node.id for node in graph.nodes]
    strong = fewest(np.array([found.nodes[name] for name in ids]), nodes)
    kept = {node.id for node, stays in zip(graph.nodes, strong, strict=True) if stays or node.kind in ALWAYS}
    kept |= {name for name, others in readers(graph).items() if kept.intersection(others)}
    inner = _between(graph, kept)
    carried = fewest(np.array(influence(inner).edges), edges)
    inner = replace(inner, edges=tuple(edge for edge, stays in zip(inner.edges, carried, strict=True) if stays))
    pruned = _without_loose_ends(inner)
    return pruned, influence(pruned)


def _sizes(graph: WeightedGraph) -> Float[np.ndarray, " edge"]:
    sizes = np.array([abs(edge.weight or 0.0) for edge in graph.edges])
    sizes[~np.isfinite(sizes)] = 0.0
    return sizes if sizes.any() else np.ones(len(sizes))


def _between(graph: WeightedGraph, kept: set[str]) -> WeightedGraph:
    edges = tuple(edge for edge in graph.edges if edge.src in kept and edge.dst in kept)
    return replace(graph, nodes=tuple(node for node in graph.nodes if node.id in kept), edges=edges)


def _without_loose_ends(graph: WeightedGraph) -> WeightedGraph:
    while True:
        across = {name: found for name, found in readers(graph).items() if found}
        sources = {edge.src for edge in graph.edges} | across.keys()
        destinations = {edge.dst for edge in graph.edges} | {name for found in across.values() for name in found}
        kept = {node.id for node in graph.nodes if node.kind in ALWAYS or node.id in sources & destinations}
        if len(kept) == len(graph.nodes):
            return graph
        graph = _between(graph, kept)
