"""Weighted graphs of any nodes: what they refuse, their strongest edges, a circuit as one, its export and picture."""

import itertools
import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.score_kinds import SCORE_KINDS
from acdc.circuits.views import to_networkx
from acdc.circuits.weighted import WeightedEdge, WeightedGraph, WeightedNode, weighted_graph
from acdc.drawing import to_dot
from acdc.drawing.scene import scene_of
from acdc.drawing.svg import svg_of
from acdc.errors import CircuitError
from tests.circuits.examples import GRAPHS, IDS, circuit_of

FEATURES = WeightedGraph(
    nodes=(
        WeightedNode("emb", "embedding", -1, "", "Paris", span="S1"),
        WeightedNode("f1", "feature", 0, "layer 0", "<b>capital & city"),
        WeightedNode("f2", "feature", 0, "layer 0", attributes={"feature": 77}),
        WeightedNode("out", "logits", 1),
    ),
    edges=(
        WeightedEdge("emb", "f1", weight=-0.5),
        WeightedEdge("emb", "f2", weight=2.0),
        WeightedEdge("f1", "out", "v", 0.25, attributes={"kept": True}),
        WeightedEdge("f2", "out"),
    ),
    title="capitals",
    caption="4 edges",
    words=SCORE_KINDS["share"],
)


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("graph", GRAPHS, ids=IDS)
def test_a_circuit_becomes_one_edge_for_edge(graph: Graph, scores: bool) -> None:
    circuit = circuit_of(graph, scores=scores)
    weighted = weighted_graph(circuit)
    assert [edge.name for edge in weighted.edges] == list(circuit.edges)
    assert [node.id for node in weighted.nodes] == list(circuit.nodes)
    for edge in weighted.edges:
        score = math.nan if circuit.scores is None else float(circuit.scores[graph.parse_edge(edge.name)])
        assert edge.weight == (None if math.isnan(score) else score)
    assert weighted.title == circuit.origin and weighted.attributes["n_layers"] == graph.n_layers
    assert {(node.layer, node.kind) for node in weighted.nodes if node.id == "logits"} <= {(graph.n_layers, "logits")}


def test_other_edges_than_the_kept_say_so() -> None:
    circuit = circuit_of(GRAPHS[0], share=0.1)
    whole = weighted_graph(circuit, edges=circuit.graph.edges_mask)
    assert {edge.name for edge in whole.edges if edge.attributes["kept"]} == set(circuit.edges)
    assert {node.id for node in whole.nodes if node.attributes["in_circuit"]} == set(circuit.nodes)


def test_the_strongest_of_a_circuit_are_those_of_its_graph() -> None:
    circuit = circuit_of(GRAPHS[3])
    few, same = weighted_graph(circuit, most=7), weighted_graph(circuit).strongest(7)
    assert few.edges == same.edges and few.nodes == same.nodes and len(few.edges) == 7
    assert (
        weighted_graph(circuit).strongest(None) == weighted_graph(circuit).strongest(10**6) == weighted_graph(circuit)
    )


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(CircuitError, match="joins 'f9', which is not a node"):
        replace(FEATURES, edges=(WeightedEdge("f1", "f9"),))
    with pytest.raises(CircuitError, match="two nodes of a graph have the id 'f1'"):
        replace(FEATURES, nodes=(*FEATURES.nodes, WeightedNode("f1", "feature", 1)))


def test_any_nodes_are_exported() -> None:
    found = to_networkx(FEATURES)
    assert found.nodes["emb"] == {"kind": "embedding", "layer": -1, "label": "Paris", "span": "S1"}
    assert found.nodes["f2"] == {"kind": "feature", "layer": 0, "feature": 77}
    assert found.edges["f1", "out", "v"] == {"name": "f1->out<v>", "input": "v", "score": 0.25, "kept": True}
    assert found.edges["f2", "out", ""] == {"name": "f2->out", "input": ""}


def test_any_nodes_are_drawn() -> None:
    svg, source = svg_of(scene_of(FEATURES, title=None, max_edges=None)), to_dot(FEATURES).source
    texts = {"".join(text.itertext()) for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {"Paris @ S1", "<b>capital & city", "f2", "out", "layer 0", "capitals", "4 edges"} <= texts
    assert "Paris @ S1" in source and "&lt;b&gt;capital &amp; city" in source and source.count("->") >= 4
    scene = scene_of(FEATURES, title=None, max_edges=2)
    assert [arrow.src + arrow.dst for arrow in scene.arrows] == ["embf1", "embf2"]
    assert scene.caption == "the 2 strongest of 4 edges, 3 nodes" and scene.notes[0] == "width: size of share"


def test_nodes_of_long_labels_do_not_overlap() -> None:
    nodes = tuple(WeightedNode(f"f{i}", "feature", 0, label="a label of many words, " * (1 + i)) for i in range(4))
    svg = svg_of(scene_of(WeightedGraph(nodes, ()), title=None, max_edges=None))
    boxes = [box for box in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect") if box.get("stroke")]
    assert len(boxes) == 4 and not any(itertools.starmap(overlap, itertools.combinations(boxes, 2)))


def overlap(one: ElementTree.Element, other: ElementTree.Element) -> bool:
    """Whether two boxes share more than an edge."""
    sides = (("x", "width"), ("y", "height"))
    ends = [
        [(float(box.get(at)), float(box.get(at)) + float(box.get(size))) for box in (one, other)] for at, size in sides
    ]
    return all(max(a, c) < min(b, d) for (a, b), (c, d) in ends)


def test_an_empty_circuit_has_its_two_ends() -> None:
    weighted = weighted_graph(Circuit.from_edges(GRAPHS[0], []))
    assert [node.id for node in weighted.nodes] == ["input", "logits"] and weighted.edges == ()
