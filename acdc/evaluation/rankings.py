"""The best n edges by their scores, and what ties make of that.

Where scores tie for the last places, "the best n" is no one circuit: ACDC's free removals all have score 0, and what a
sort makes of them decides the curve. So every order among equals counts alike: some are drawn.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.circuits.graph import Graph

__all__ = ["RANKINGS", "TIE_ORDERS", "first_edges", "n_tied", "ranked_edges", "top_edges"]

RANKINGS = ("signed", "absolute")
TIE_ORDERS = 5  # orders among equals that are drawn


def ranked_edges(
    graph: Graph, scores: Float[Tensor, "src dst"], *, ranking: str = "signed", ties: int | None = None
) -> Int[Tensor, " edges"]:
    """The edges, as their places among the graph's edges row by row, the highest score first.

    A score that wasn't measured counts as 0, as it stands in a circuit file.

    Args:
        ranking: signed (by score) or absolute (by the score's size).
        ties: Seed of the order among equals; by None the earlier edge of the mask's rows comes first.
    """
    values = _values(graph, scores, ranking)
    if ties is None:
        return values.argsort(descending=True, stable=True)
    drawn = torch.randperm(len(values), generator=torch.Generator().manual_seed(ties))
    return drawn[values[drawn].argsort(descending=True, stable=True)]


def top_edges(
    graph: Graph, scores: Float[Tensor, "src dst"], n: int, *, ranking: str = "signed", ties: int | None = None
) -> Bool[Tensor, "src dst"]:
    """The `n` edges with the highest scores: the first of `ranked_edges`."""
    return first_edges(graph, ranked_edges(graph, scores, ranking=ranking, ties=ties), n)


def first_edges(graph: Graph, order: Int[Tensor, " edges"], n: int) -> Bool[Tensor, "src dst"]:
    """The mask of the first `n` edges of an order."""
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[order[:n]] = True
    mask = torch.zeros_like(graph.edges_mask)
    mask[graph.edges_mask] = kept
    return mask


def n_tied(graph: Graph, scores: Float[Tensor, "src dst"], n: int, *, ranking: str = "signed") -> int:
    """How many edges tie for the last of the best `n` places, some of them in vain; 0 where the best `n` are clear."""
    values = _values(graph, scores, ranking).sort(descending=True).values
    if not 0 < n < len(values) or values[n - 1] != values[n]:
        return 0
    return int((values == values[n]).sum())


def _values(graph: Graph, scores: Float[Tensor, "src dst"], ranking: str) -> Float[Tensor, " edges"]:
    values = scores.double().nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf).cpu()[graph.edges_mask]
    return values.abs() if ranking == "absolute" else values
