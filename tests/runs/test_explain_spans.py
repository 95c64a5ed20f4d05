"""Explanations of circuits whose edges are split by span: nodes are said with their spans, all else is as before."""

import pytest

import acdc
from acdc.circuits.circuit import Circuit
from acdc.interpret.draft import card, empty
from acdc.interpret.explanation import Explanation
from acdc.interpret.node_spans import cards_at_spans
from acdc.interpret.telling import sentence
from acdc.report import Findings
from acdc.report.graph import graph_of
from acdc.report.listing import edge_table, node_table
from acdc.report.page import page_of
from acdc.runs.explained import Explained
from acdc.zoo import zoo_path

TRUTH = Circuit.load(zoo_path("induction-compiled") / "circuit.json")
SPLIT = TRUTH.graph.split(("prefix", "rest", "A", "B", "end"))
OF_INDUCTION = ["input->a0.h2<v>@A", "input->a1.h1<q>@end", "input->a1.h1<v>@B", "a0.h2->a1.h1<k>@B"]
CHEAP = {"n": 6, "n_probed": 8, "nodes": 2, "examples": 1, "save": False}


def explanation_of(circuit: Circuit, **options: object) -> Explanation:
    return acdc.explain(circuit, model="induction-compiled", task="induction", **CHEAP, **options).explanation


def split_circuit(edges: list[str]) -> Circuit:
    return Circuit.from_edges(SPLIT, edges, provenance={**TRUTH.provenance, "positions": "spans"})


def test_what_is_said_of_nodes_does_not_depend_on_how_edges_are_split() -> None:
    """Every number of every section, of a circuit that keeps an edge at all spans or at none."""
    at_all = [name for name in SPLIT.edge_names(SPLIT.edges_mask) if name.partition("@")[0] in TRUTH.edges]
    whole, split = explanation_of(TRUTH), explanation_of(split_circuit(at_all))
    for name in ("notes", "prompts", "maps", "lenses", "agreement", "probes", "steering", "certain", "uncertain"):
        assert getattr(whole, name) == getattr(split, name), name
    own = {"spans": {}, "reads_at": {}, "writes_at": [], "sentence": ""}
    one, other = ([each.model_copy(update=own) for each in found.nodes] for found in (whole, split))
    assert one == other
    effects = {each.name: each.spans for each in whole.nodes}
    assert all(set(each.spans) <= set(effects[each.name]) for each in split.nodes)


def test_a_node_is_said_with_the_spans_of_its_edges() -> None:
    found = explanation_of(split_circuit([*OF_INDUCTION, "a1.h1->logits@end"]), only=["effects", "spans", "prompts"])
    cards = {each.name: each for each in found.nodes}
    first, second = cards["a0.h2"], cards["a1.h1"]
    assert (first.reads_at, first.writes_at) == ({"v": ["A"]}, ["B"])
    assert (second.reads_at, second.writes_at) == ({"q": ["end"], "k": ["B"], "v": ["B"]}, ["end"])
    assert "reads queries at end and keys and values at B, and is read at end" in second.sentence
    assert first.spans.keys() == {"B"} and first.effect is not None and first.effect.value is not None
    assert first.spans["B"].value == pytest.approx(first.effect.value, rel=1e-3), "it matters at B and nowhere else"
    assert found.prompts[0].spans["end"] == [len(found.prompts[0].clean) - 1]
    frames = Explained(split_circuit(OF_INDUCTION), found).frames()
    assert frames["nodes"].set_index("node").loc["a1.h1", "reads_at"] == "q end; k B; v B"
    assert dict(frames["node_spans"][["node", "span"]].to_numpy().tolist()) == {"a0.h2": "B", "a1.h1": "end"}


def test_an_mlp_that_acts_in_one_place_is_said_in_one_phrase_and_long_lists_are_cut() -> None:
    graph = SPLIT.whole
    assert "reads, and is read, at A." in sentence(card(graph, "m0", reads_at={"": ["A"]}, writes_at=["A"]))
    many = [str(i) for i in range(9)]
    assert "is read at 0, 1, 2, 3 and 5 more." in sentence(card(graph, "m0", writes_at=many))
    assert not cards_at_spans(TRUTH, ["a0.h2"])


def test_the_tables_of_the_page_have_spans() -> None:
    circuit = split_circuit([*OF_INDUCTION, "a1.h1->logits@end"])
    found = Findings(circuit, explanation=explanation_of(circuit, only=["effects", "spans"]))
    edges, nodes = edge_table(found, graph_of(found)), node_table(found, graph_of(found))
    assert {row[0].text: row[edges.heads.index("span")].text for row in edges.rows}["a0.h2->a1.h1<k>@B"] == "B"
    here = {row[0].text: row[nodes.heads.index("at its span alone")].text for row in nodes.rows}
    assert here["a1.h1 @ end"] and not here["a1.h1 @ B"], "nothing is written there"
    assert "effect by span, ablated there alone" in page_of(found)
    whole = Findings(TRUTH, explanation=empty())
    assert {"span", "at its span alone"}.isdisjoint(node_table(whole, graph_of(whole)).heads)
