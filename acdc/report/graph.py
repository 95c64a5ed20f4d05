"""The circuit as the page's script reads it: nodes in rows, edges by importance, and the curve beside the slider."""

from collections.abc import Mapping, Sequence
from typing import Any

from acdc.circuits.influence import Influence, influence, prune_by_influence, readers
from acdc.circuits.supernodes import Supernodes
from acdc.circuits.views import MAX_LISTED_EDGES
from acdc.circuits.weighted import WeightedGraph, WeightedNode, weighted_graph
from acdc.interpret.explanation import NodeCard
from acdc.report.curve import SizeCurve
from acdc.report.findings import Findings
from acdc.report.headline import Headline

__all__ = ["FEW", "MOST_EDGES", "graph_of", "graph_values", "role_of", "values_of"]

MOST_EDGES = MAX_LISTED_EDGES  # that a page holds
FEW = 150  # so many edges are drawn whole at first
MOST_AT_FIRST = 300


def graph_of(findings: Findings) -> WeightedGraph:
    """The circuit's graph, the strongest edges of it where it has too many for a page."""
    return weighted_graph(findings.circuit, most=MOST_EDGES)


def graph_values(
    findings: Findings, graph: WeightedGraph, curve: SizeCurve | None, best: Headline | None
) -> dict[str, Any]:
    """What the script draws from: `values_of` the graph, and what is known of the circuit's sizes."""
    cards = {} if findings.explanation is None else {card.name: card for card in findings.explanation.nodes}
    return values_of(graph, influence(graph), cards=cards, spans=graph.spans) | {
        "n_edges": findings.circuit.n_edges,
        "first": _first(graph),
        "whole": None if best is None else {"text": best.text, "metric": best.metric, "prompts": best.prompts},
        "curve": None if curve is None else _curve(curve),
    }


def values_of(
    graph: WeightedGraph,
    reaching: Influence,
    *,
    cards: Mapping[str, NodeCard],
    spans: Sequence[str],
    groups: Supernodes = (),
) -> dict[str, Any]:
    """Nodes and edges as the script reads them.

    Edges are `[src, dst, input, weight, influence]`, with nodes by their places in `nodes`. Spans are columns, in this
    order; a node of none of them stands in the last. Groups are lists of a name and nodes' ids.
    """
    places = {node.id: i for i, node in enumerate(graph.nodes)}
    edges = [
        [places[edge.src], places[edge.dst], edge.input, edge.weight, value]
        for edge, value in zip(graph.edges, reaching.edges, strict=True)
    ]
    return {
        "nodes": [_node(node, reaching, cards.get(node.label or node.id)) for node in graph.nodes],
        "groups": groups,
        "edges": edges,
        "across": [[places[name], places[other]] for name, others in readers(graph).items() for other in others],
        "spans": spans,
        "words": {"label": graph.words.label, "meaning": graph.words.meaning, "negative": graph.words.negative},
        "scored": any(edge.weight for edge in graph.edges),
    }


def _first(graph: WeightedGraph) -> dict[str, Any]:
    """What is drawn at first: a small circuit whole, of a large one what carries most of the influence."""
    if len(graph.edges) <= FEW:
        return {"n": len(graph.edges), "by": "score"}
    pruned, _ = prune_by_influence(graph)
    return {"n": min(len(pruned.edges), MOST_AT_FIRST), "by": "influence"}


def _node(node: WeightedNode, reaching: Influence, card: NodeCard | None) -> dict[str, Any]:
    role, holds = ("", None) if card is None else role_of(card)
    return {
        "id": node.id,
        "label": node.label or node.id,
        "kind": node.kind,
        "layer": node.layer,
        "row": node.level or node.kind,
        "span": node.span,
        "influence": reaching.nodes[node.id],
        "role": role,
        "holds": holds,
    }


def role_of(card: NodeCard) -> tuple[str, bool | None]:
    """The role that a node is shown with, and whether its test holds; of no role, the empty text."""
    first = next(iter(card.ranked_claims), None)
    return ("", None) if first is None else (first.role, first.holds)


def _curve(curve: SizeCurve) -> dict[str, Any]:
    points = [{"n": point.n_edges, "f": point.faithfulness, "ofThis": point.of_this} for point in curve.points]
    return {"points": points, "metric": curve.metric, "prompts": curve.prompts}
