"""What the page of a prompt's attribution graph shows."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from acdc.circuits.influence import Influence
from acdc.circuits.weighted import WeightedGraph
from acdc.errors import counted
from acdc.features.attribution_graphs import AttributionGraph
from acdc.features.attribution_graphs.file import graph_json
from acdc.features.attribution_graphs.nodes import Node
from acdc.features.reading import FeatureReading
from acdc.report.cards import Card
from acdc.report.feature_cards import MOST_READ, bare_card, with_reading
from acdc.report.graph import MOST_EDGES
from acdc.report.graph_page import GraphFindings
from acdc.report.opening import Fact, Opening
from acdc.report.text import number, share, token

__all__ = ["document_of", "findings_of_trace"]

KINDS = {
    "token": "The embedding of a token",
    "head": "An attention head",
    "feature": "A feature of a transcoder",
    "mlp": "An MLP",
    "error": "An error, what the dictionary doesn't reconstruct",
    "logit": "The logit of a token",
}


def findings_of_trace(graph: AttributionGraph, readings: Mapping[int, FeatureReading] | None = None) -> GraphFindings:
    """An attribution graph's page, its columns the prompt's tokens.

    Args:
        graph: As it was pruned.
        readings: What is known of the features, by layer.
    """
    few, known = graph.strongest(MOST_EDGES), readings or {}
    columns = tuple(f"{i} {token(text)}" for i, text in enumerate(graph.tokens))
    drawn = _in_columns(few, columns)
    edges = tuple(float(edge.attributes["influence"]) for edge in drawn.edges)
    return GraphFindings(
        drawn,
        Influence({node.id: node.influence for node in few.nodes}, edges),
        columns,
        _opening(graph, known),
        tuple(_cards(few, columns, known)),
        graph.n_edges,
        notes=graph.notes,
        supernodes=graph.supernodes,
        alike=graph.alike,
        document=document_of(graph),
    )


def document_of(graph: AttributionGraph) -> tuple[str, dict[str, Any]] | None:
    """The graph's file, as its page saves it again; None where it is too large for a page."""
    return ("graph.json", graph_json(graph, "graph")) if graph.n_edges <= MOST_EDGES else None


def _in_columns(graph: AttributionGraph, columns: tuple[str, ...]) -> WeightedGraph:
    drawn = graph.weighted()
    pairs = zip(drawn.nodes, graph.nodes, strict=True)
    nodes = (replace(node, span=None if of.kind == "logit" else columns[of.position]) for node, of in pairs)
    return replace(drawn, nodes=tuple(nodes))


def _cards(graph: AttributionGraph, columns: tuple[str, ...], readings: Mapping[int, FeatureReading]) -> Iterator[Card]:
    """Of each node, the most influential first, whose features are read."""
    for rank, node in enumerate(sorted(graph.nodes, key=lambda node: -node.influence)):
        layer = "" if node.kind in ("token", "logit") else f" in layer {node.layer}"
        card = bare_card(
            node.id,
            node.label if node.kind == "logit" else f"{node.label} @ {columns[node.position]}",
            node.kind,
            f"{KINDS[node.kind]}{layer}, at position {columns[node.position]}.",
            _facts(node),
        )
        if node.kind == "feature" and node.text:
            card = replace(card, label=node.text, sentence=f"{card.sentence} Its label: {node.text}.")
        reading = readings.get(node.layer)
        if node.kind == "feature" and reading is not None and rank < MOST_READ:
            card = with_reading(card, reading, node.index)
        yield card


def _facts(node: Node) -> Iterator[tuple[str, str, str]]:
    yield "influence", share(node.influence), "of what the logits read comes through it"
    yield "probability", share(node.probability), "of this token"
    yield "activation", number(node.activation), "on this prompt"
    yield "value", number(node.value), "what all that it reads adds up to"
    yield "constants", number(node.bias), "the part of it that biases give"
    yield "left out", number(node.left_out), "the part of it that features give that are no nodes"


def _opening(graph: AttributionGraph, readings: Mapping[int, FeatureReading]) -> Opening:
    likely = sorted((node for node in graph.nodes if node.kind == "logit"), key=lambda node: -(node.probability or 0.0))
    facts = [Fact("nodes", f"{len(graph.nodes):,}"), Fact("edges", f"{graph.n_edges:,}")]
    if graph.replacement is not None:
        facts.append(
            Fact("replacement", number(graph.replacement), "share of what reaches the logits that is no error")
        )
    if graph.completeness is not None:
        facts.append(Fact("completeness", number(graph.completeness), "share of what nodes read that is no error"))
    if graph.left_out:
        more = f"of influence; {graph.n_traced:,} of {graph.n_active:,} active features are nodes"
        facts.append(Fact("left out", share(graph.left_out), more))
    return Opening(
        f"What makes {graph.model} go on as it does after “{graph.prompt}”?",
        f"Most probable next: {', '.join(node.label for node in likely[:5])}." if likely else "",
        tuple(facts),
        (),
        tuple(_uncertain(graph, readings)),
    )


def _uncertain(graph: AttributionGraph, readings: Mapping[int, FeatureReading]) -> Iterator[str]:
    yield "Weights are direct effects with patterns and norms held as they were on this prompt; nothing was ablated."
    layers = {node.layer for node in graph.nodes if node.kind == "feature"}
    if lacking := sorted(layers - readings.keys()):
        where = ("layers " if len(lacking) > 1 else "layer ") + ", ".join(map(str, lacking))
        yield f"What the features of {where} fire on was not read (acdc features)."
    if readings and len(graph.nodes) > MOST_READ:
        yield f"Of the {MOST_READ} most influential nodes alone the cards say what features fire on."
    if graph.n_edges > MOST_EDGES:
        yield f"The page has the {MOST_EDGES:,} most influential of {counted(graph.n_edges, 'edge')}."
