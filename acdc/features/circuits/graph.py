"""A feature circuit as a weighted graph: what is drawn and exported."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from acdc.circuits.score_kinds import ScoreWords
from acdc.circuits.weighted import WeightedEdge, WeightedGraph, WeightedNode
from acdc.errors import counted
from acdc.features.circuits.edges import LOGITS
from acdc.features.circuits.nodes import ERROR, NodeName
from acdc.features.sites import KINDS

if TYPE_CHECKING:
    from acdc.features.circuits.circuit import FeatureCircuit

__all__ = ["graph_of"]

WORDS = ScoreWords(
    "estimated effect",
    "how much of the loss's rise comes by this edge when its source is ablated",
    "by this edge its ablation is estimated to help",
)


def graph_of(circuit: "FeatureCircuit", labels: Mapping[str, str]) -> WeightedGraph:
    """Its nodes that edges join, site by site, and the logits; without any edge, all nodes.

    Args:
        labels: What a picture calls a node, by its name.
    """
    joined = {end for edge in circuit.edges for end in (edge.src, edge.dst)}
    by_site = sorted(
        (pair for pair in zip(circuit.nodes, circuit.names, strict=True) if not joined or pair[0].name in joined),
        key=lambda pair: (pair[1].site.layer, KINDS.index(pair[1].site.kind), pair[1].index is None),
    )
    nodes = [_node(name, node.effect, labels) for node, name in by_site]
    nodes.append(WeightedNode(LOGITS, LOGITS, 1 + max((name.site.layer for name in circuit.names), default=0)))
    return WeightedGraph(
        tuple(nodes),
        tuple(WeightedEdge(edge.src, edge.dst, weight=edge.weight) for edge in circuit.edges),
        title=f"{circuit.task} in {circuit.model}",
        caption=f"{counted(len(circuit.edges), 'edge')}, {len(by_site):,} of {counted(len(circuit.nodes), 'node')}",
        words=WORDS,
    )


def _node(name: NodeName, effect: float, labels: Mapping[str, str]) -> WeightedNode:
    kind, called = (ERROR, ERROR) if name.index is None else ("feature", str(name.index))
    return WeightedNode(
        str(name),
        kind,
        name.site.layer,
        level=str(name.site),
        label=labels.get(str(name), called),
        span=name.span or None,
        attributes={"effect": effect, "site": str(name.site)},
    )
