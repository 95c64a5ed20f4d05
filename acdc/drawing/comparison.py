"""One picture of two or more circuits: what they share and what only one of them keeps, told apart by colour."""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.overlap import edge_groups
from acdc.circuits.score_kinds import ScoreKind, words_of
from acdc.circuits.weighted import WeightedGraph, weighted_graph
from acdc.drawing.render import draw
from acdc.drawing.scene import MAX_DRAWN_EDGES

__all__ = ["comparison_graph", "draw_comparison", "group_colors"]

SHARED, SEVERAL, REST = "#333333", "#E69F00", "#9E9E9E"
ALONE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")  # Okabe and Ito's, for the first five circuits


def draw_comparison(
    circuits: Mapping[str, Circuit],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    max_edges: int | None = MAX_DRAWN_EDGES,
) -> list[Path]:
    """Draw every edge that one of the circuits keeps; formats and files as for `draw`.

    An arrow's colour says whether the edge is in all circuits, in several, or in which alone. Its width is the edge's
    score as a share of its circuit's largest, the greatest of these where several keep it: scores of different methods
    have different units.

    Args:
        circuits: Two or more circuits of one graph, by name.
        path: The file.
        title: Default: the circuits' names.
        max_edges: Draw only so many edges, those of the largest share; None draws all.
    """
    graph = comparison_graph(circuits, most=max_edges)
    title = graph.title if title is None else title
    return draw(graph, path, title=title, max_edges=None, colors=group_colors(circuits))


def group_colors(names: Iterable[str]) -> dict[str, str]:
    """The colour of each group of edges, in the legend's order."""
    alone = {f"only {name}": color for name, color in zip(names, chain(ALONE, repeat(REST)), strict=False)}
    return {"in all": SHARED, "in several": SEVERAL} | alone


def comparison_graph(circuits: Mapping[str, Circuit], *, most: int | None = None) -> WeightedGraph:
    """Every edge that any of the circuits keeps, or `most` of them, with its group, and its share as its weight."""
    union, kind = _union(circuits), _kind(circuits)
    masks = edge_groups({name: circuit.mask for name, circuit in circuits.items()})
    graph = weighted_graph(union, most=most)
    edges = []
    for edge in graph.edges:
        at = union.graph.parse_edge(edge.name)
        edges.append(replace(edge, group=next(group for group, mask in masks.items() if mask[at])))
    width = f"{words_of(kind).label} as a share of its circuit's largest"
    return replace(graph, edges=tuple(edges), title=" | ".join(circuits), words=words_of(kind), width=width)


def _kind(circuits: Mapping[str, Circuit]) -> ScoreKind | None:
    """The kind of all the scores; None where it differs."""
    kinds = {circuit.score_kind for circuit in circuits.values() if circuit.scores is not None}
    return kinds.pop() if len(kinds) == 1 else None


def _union(circuits: Mapping[str, Circuit]) -> Circuit:
    """The circuit that keeps what any of them does, with the greatest share of an edge as its score."""
    masks = torch.stack([circuit.mask for circuit in circuits.values()])
    shares = torch.stack([_shares(circuit) for circuit in circuits.values()])
    greatest = shares.abs().nan_to_num(-1.0).argmax(0, keepdim=True)
    scores = shares.gather(0, greatest).squeeze(0)
    graph = next(iter(circuits.values())).graph
    return Circuit(graph, masks.any(0), None if bool(scores.isnan().all()) else scores)


def _shares(circuit: Circuit) -> torch.Tensor:
    """Each kept edge's score divided by the largest finite one; NaN where it wasn't measured."""
    missing = torch.full(circuit.mask.shape, math.nan, dtype=torch.float64)
    scores = missing if circuit.scores is None else circuit.scores.masked_fill(~circuit.mask, math.nan)
    finite = scores[scores.isfinite()].abs()
    largest = float(finite.max()) if len(finite) else 0.0
    return (scores / (largest or 1.0)).clamp(-1.0, 1.0)
