"""How well a circuit agrees with one that is known; `acdc.evaluation.roc` does the same for its ranking.

Only edges of the graph count: a pair that is no edge is never a hit. Nodes are heads and MLPs; `input` and `logits`,
which every circuit has, are left out.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.ranking import top_edges
from acdc.evaluation.roc import edge_ranks

__all__ = ["Agreement", "compare", "strongest"]

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


def strongest(circuit: Circuit, n: int, truth: Mask) -> Mask:
    """The n edges of the highest rank (`edge_ranks`); of those that tie for the last places, the false ones first, so
    that a method which doesn't tell edges apart gains nothing by it."""
    where, ranks = circuit.graph.edges_mask, torch.zeros(truth.shape, dtype=torch.float64)
    ranks[where] = torch.from_numpy(edge_ranks(circuit)) - 0.25 * truth[where]  # ranks are whole or half numbers
    return top_edges(circuit.graph, ranks, n, signed=True)
