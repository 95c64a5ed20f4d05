"""How well a circuit agrees with one that is known, as the benchmark counts it.

Only edges of the graph count: a pair that is not an edge is never a hit. Nodes are heads and MLPs, each at every span
where edges are split; `input` and `logits`, which every circuit has, are left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph, base_of
from acdc.circuits.ranking import top_edges
from acdc.circuits.recovery import edge_hits, edge_ranks, node_hits

__all__ = ["Agreement", "compare", "strongest"]

Mask = Bool[Tensor, "src dst"]


@dataclass(frozen=True)
class Agreement:
    """A circuit beside the known one.

    Attributes:
        precision, recall: Of its edges, 0 to 1; None where it, or the known one, has none.
        node_precision, node_recall: Of its heads and MLPs; the recall of none is 1.
    """

    n_edges: int
    precision: float | None
    recall: float | None
    n_nodes: int
    node_precision: float | None
    node_recall: float


def compare(graph: Graph, found: Mask, truth: Mask) -> Agreement:
    """A circuit's edges and nodes beside the known ones.

    Raises:
        CircuitError: A mask keeps pairs that are not edges of the graph.
    """
    for mask in (found, truth):
        graph.check_mask(mask)
    nodes, true_nodes = (_working(graph.node_names(mask)) for mask in (found, truth))
    edge, node = edge_hits(found, truth), node_hits(nodes, true_nodes)
    return Agreement(
        n_edges=int(found.sum()),
        precision=edge.precision,
        recall=edge.recall,
        n_nodes=len(nodes),
        node_precision=node.precision,
        node_recall=1.0 if node.recall is None else node.recall,
    )


def _working(nodes: Iterable[str]) -> set[str]:
    return {node for node in nodes if base_of(node) not in ("input", "logits")}


def strongest(circuit: Circuit, n: int, truth: Mask) -> Mask:
    """The n edges of the highest rank (`edge_ranks`); of those that tie for the last places, the false ones first, so
    that a method which doesn't tell edges apart gains nothing by it."""
    where, ranks = circuit.graph.edges_mask, torch.zeros(truth.shape, dtype=torch.float64)
    ranks[where] = torch.from_numpy(edge_ranks(circuit)) - 0.25 * truth[where]  # ranks are whole or half numbers
    return top_edges(circuit.graph, ranks, n, signed=True)
