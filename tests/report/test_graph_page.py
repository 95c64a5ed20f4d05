"""Pages of feature circuits and attribution graphs: each node has its card, and what tokens hold is escaped."""

import json
from dataclasses import replace
from functools import cache

from acdc.features.attribution_graphs import AttributionGraph, trace
from acdc.features.attribution_graphs.file import graph_json
from acdc.features.circuits import FeatureCircuit, FeatureEdge, FeatureNode
from acdc.features.circuits.circuit import DictionaryRecord
from acdc.report.assets import assets
from acdc.report.feature_circuit_page import findings_of_circuit
from acdc.report.graph_page import groups_of, page_of_graph
from acdc.report.page import page_of
from acdc.report.trace_page import findings_of_trace
from tests.features.attribution_graphs.transcoders import PROMPT, transcoders
from tests.features.reading.planted import ON, planted
from tests.report.samples import HOSTILE, findings
from tests.report.test_page import Reader
from tests.tiny import tiny_model

TEXT = "".join(HOSTILE)
SITE = "resid_post.0"


@cache
def traced() -> AttributionGraph:
    model = tiny_model("gpt2")
    return trace(model, PROMPT, transcoders(model)).pruned()


def circuit(*edges: FeatureEdge, spans: tuple[str, ...] = (), name: str = "planted") -> FeatureCircuit:
    """Two features of the planted dictionary, and an error."""
    at = f"@{spans[0]}" if spans else ""
    names = {f"{SITE}/{ON}{at}": 2.0, f"{SITE}/2{at}": -1.0, f"{SITE}/error{at}": 0.5}
    nodes = tuple(FeatureNode(each, effect) for each, effect in names.items())
    record = DictionaryRecord(name, SITE, SITE, 4, "0")
    return FeatureCircuit(
        "model",
        name,
        "kl",
        "corrupt",
        "frozen",
        spans,
        (record,),
        nodes,
        edges,
        9,
        3,
        5,
        "0",
        told={"error_share": 0.25},
    )


def data_of(page: str) -> dict:
    return json.loads(page.split('<script id="data" type="application/json">')[1].split("</script>")[0])["graph"]


def test_each_node_of_a_trace_has_a_card_with_its_own_influence() -> None:
    graph = traced()
    page = page_of_graph(findings_of_trace(graph))
    read, data = Reader(page), data_of(page)
    assert {node["id"]: node["influence"] for node in data["nodes"]} == {
        node.id: node.influence for node in graph.nodes
    }
    assert read.tags["article"] == len(graph.nodes) and read.ids.most_common(1)[0][1] == 1
    assert {node["kind"] for node in data["nodes"]} == {"input", "feature", "error", "logits"}
    assert data["spans"] == [f"{i} {text}" for i, text in enumerate(graph.tokens)]
    assert {node["span"] for node in data["nodes"]} == {*data["spans"], None}
    assert sorted(edge[4] for edge in data["edges"]) == sorted(edge[3] for edge in graph.edges())
    assert "fire on was not read" in read.text


def test_a_feature_s_card_says_what_was_read_of_it() -> None:
    edge = FeatureEdge(f"{SITE}/{ON}", "logits", 2.0)
    reading = planted().reading
    page = page_of_graph(findings_of_circuit(circuit(edge), readings={SITE: reading}))
    read = Reader(page)
    rule = f"fires on {reading.names[planted().token]!r}"
    assert f"By its rule it {rule}." in read.text and read.tags["article"] == 3
    assert f"The error of planted at {SITE}" in read.text and "what it doesn't reconstruct" in read.text
    assert 'class="word s10"' in page and "was not read" not in read.text
    assert rule not in Reader(page_of_graph(findings_of_circuit(circuit(edge)))).text


def test_a_circuit_without_edges_and_one_of_spans_have_all_their_nodes() -> None:
    assert len(data_of(page_of_graph(findings_of_circuit(circuit())))["nodes"]) == 4
    split = circuit(FeatureEdge(f"{SITE}/{ON}@S2", "logits", 1.0), spans=("S2", "end"))
    assert data_of(page_of_graph(findings_of_circuit(split)))["spans"] == ["S2", "end"]


def test_tokens_and_names_are_escaped_and_the_policy_is_a_run_s() -> None:
    reading = planted().reading
    hostile = replace(reading, names={token: f"{TEXT}{token}" for token in reading.names})
    tokens = tuple(f"{TEXT}{i}" for i in range(len(traced().tokens)))
    nodes = tuple(replace(node, text=TEXT if node.text else "") for node in traced().nodes)
    graph = replace(traced(), tokens=tokens, prompt=TEXT, nodes=nodes, notes=(TEXT,))
    pages = [
        page_of_graph(findings_of_trace(graph)),
        page_of_graph(findings_of_circuit(circuit(name=TEXT), readings={SITE: hostile})),
    ]
    scripts = Reader(page_of(findings())).tags["script"]
    for page in pages:
        read = Reader(page)
        assert read.tags["script"] == scripts + 1 and read.tags["img"] == 0 and read.tags["h1"] == 1
        assert assets().policy in page


def test_supernodes_are_those_of_the_file_and_features_of_one_rule() -> None:
    features = [node.id for node in traced().nodes if node.kind == "feature"][:3]
    graph = replace(traced(), supernodes=((TEXT, *features[:2], "no such node"), ("second", *features[1:])))
    found = findings_of_trace(graph)
    first, second = data_of(page_of_graph(found))["groups"]
    assert first[1:] == features[:2] and second == ["second", features[2]]
    alike = [node for node in found.graph.nodes if node.kind == "feature"]
    by_row = {
        (node.level, node.span): [x.id for x in alike if (x.level, x.span) == (node.level, node.span)] for node in alike
    }
    ids = max(by_row.values(), key=len)[:2]
    labelled = tuple(replace(card, label="fires on 'x'" if card.name in ids else "") for card in found.cards)
    ((name, *members),) = groups_of(replace(found, cards=labelled, supernodes=()))
    assert name.startswith("fires on 'x'") and members == ids
    rest = tuple(node.id for node in alike if node.id not in ids)
    both = groups_of(replace(found, cards=labelled, supernodes=(), alike=(("like 1", ids[0], *rest), ("one", rest[0]))))
    assert both[1:] == (("like 1", *rest),)  # a node is in one group, and one node is none


def test_a_page_holds_the_file_that_it_saves() -> None:
    graph = replace(traced(), prompt=TEXT, supernodes=(("<b>", traced().nodes[0].id),))
    page = page_of_graph(findings_of_trace(graph))
    held = json.loads(page.split('"document" type="application/json">')[1].split("<")[0])
    assert held["file"] == graph_json(graph, "graph") and held["file"]["metadata"]["prompt"] == TEXT
    assert held["ids"] == [node.id for node in graph.nodes] and held["name"] == "graph.json"
    large = replace(findings_of_trace(graph), document=None)
    assert '"file":{"supernodes":[]}' in page_of_graph(large)
