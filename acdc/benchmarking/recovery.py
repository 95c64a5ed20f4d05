"""How well a ranking or a circuit agrees with a circuit that is known.

Only edges of the graph count: a pair that is no edge is never a hit. Nodes are heads and MLPs; `input` and `logits`,
which every circuit has, are left out.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from torch import Tensor

from acdc.graph import Graph

__all__ = ["Agreement", "auc", "compare", "strongest"]

Mask = Bool[Tensor, "src dst"]


class Agreement(NamedTuple):
    """A circuit beside the known one.

    Attributes:
        precision, recall: The share of its edges that are true, and the share of the true ones that it has; the
            precision of an empty circuit is None.
    """

    n_edges: int
    precision: float | None
    recall: float
    n_nodes: int
    node_precision: float | None
    node_recall: float


def compare(graph: Graph, found: Mask, truth: Mask) -> Agreement:
    """A circuit's edges and nodes beside the known ones.

    Raises:
        CircuitError: A mask keeps pairs that are no edges of the graph.
    """
    for mask in (found, truth):
        graph.check_mask(mask)
    nodes, true_nodes = (set(graph.node_names(mask)) - {"input", "logits"} for mask in (found, truth))
    hits, node_hits = int((found & truth).sum()), len(nodes & true_nodes)
    n_edges = int(found.sum())
    return Agreement(
        n_edges,
        hits / n_edges if n_edges else None,
        hits / int(truth.sum()),
        len(nodes),
        node_hits / len(nodes) if nodes else None,
        node_hits / len(true_nodes) if true_nodes else 1.0,
    )


def auc(graph: Graph, ranking: Float[Tensor, "src dst"], truth: Mask) -> float:
    """Area under the ROC curve of the edges: the chance that a true edge ranks above another one, ties counted half.

    `AUC = (Σ ranks of true edges - n(n+1)/2) / (n m)` for n true and m other edges (Mann and Whitney's U). Between two
    thresholds the curve is straight, as it is for edges that tie. Edges without a value (NaN) tie below all others.

    Raises:
        CircuitError: The truth keeps pairs that are no edges of the graph.
    """
    graph.check_mask(truth)
    true = truth[graph.edges_mask].numpy()
    ranks = rankdata(_values(graph, ranking).numpy())
    n, m = int(true.sum()), int((~true).sum())
    return float((ranks[true].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


def strongest(graph: Graph, ranking: Float[Tensor, "src dst"], n: int, truth: Mask) -> Mask:
    """The n edges of the highest rank; of those that tie for the last places, the false ones first, so that a method
    which doesn't tell edges apart gains nothing by it."""
    values, true = _values(graph, ranking).tolist(), truth[graph.edges_mask].tolist()
    order = sorted(range(len(values)), key=lambda i: (-values[i], true[i]))
    chosen = torch.zeros(len(values), dtype=torch.bool)
    chosen[order[:n]] = True
    mask = torch.zeros_like(truth)
    mask[graph.edges_mask] = chosen
    return mask


def _values(graph: Graph, ranking: Float[Tensor, "src dst"]) -> Float[Tensor, " edges"]:
    """The ranking of the edges, row by row; what wasn't measured is below everything."""
    values = ranking[graph.edges_mask].double()
    return values.masked_fill(values.isnan(), -torch.inf)
