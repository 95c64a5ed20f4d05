"""Files hold what Neuronpedia's schema requires, are read back to the same graph, and open when others wrote them."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acdc.errors import FileError, RunError
from acdc.features.attribution_graphs import AttributionGraph, load_graph, save_graph, trace
from tests.features.attribution_graphs.transcoders import PROMPT, transcoders
from tests.tiny import tiny_model

METADATA = {"slug", "scan", "prompt_tokens", "prompt"}
NODE = {"node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp"}
LINK = {"source", "target", "weight"}


@pytest.fixture(scope="module")
def graphs() -> tuple[AttributionGraph, ...]:
    model = tiny_model("gpt2")
    return trace(model, PROMPT, transcoders(model)), trace(model, PROMPT)


def same(found: AttributionGraph, right: AttributionGraph) -> None:
    order = np.argsort(found.rows), np.argsort(right.rows)
    assert np.array_equal(found.rows[order[0]], right.rows[order[1]])
    assert np.array_equal(found.weights[order[0]], right.weights[order[1]])
    for field in fields(found):
        if field.name not in ("rows", "weights"):
            assert getattr(found, field.name) == getattr(right, field.name)


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_written_is_read_back(graphs: tuple[AttributionGraph, ...], which: int, tmp_path: Path) -> None:
    graph = replace(
        graphs[which].pruned(0.7, 0.9), pinned=("E_3_0",), supernodes=(("a name", "E_3_0"),), alike=(("b", "E_3_0"),)
    )
    path = save_graph(graph, tmp_path / "my-graph.json")
    same(load_graph(path), graph)
    told = json.loads(path.read_text())
    assert told.keys() == {"metadata", "qParams", "nodes", "links"} and told["metadata"].keys() >= METADATA
    assert all(node.keys() >= NODE for node in told["nodes"]) and all(link.keys() == LINK for link in told["links"])
    assert told["metadata"]["slug"] == "my-graph" and told["metadata"]["prompt_tokens"] == PROMPT.split()
    targets = [node for node in told["nodes"] if node["is_target_logit"]]
    assert len(targets) == 1 and targets[0]["token_prob"] == max(node["token_prob"] for node in told["nodes"])
    assert len({node["jsNodeId"] + str(node["ctx_idx"]) for node in told["nodes"]}) == len(told["nodes"])


def test_a_whole_graph_is_written_pruned_and_no_more_links_than_are_wanted(
    graphs: tuple[AttributionGraph, ...], tmp_path: Path
) -> None:
    found = load_graph(save_graph(graphs[0], tmp_path / "whole.json"))
    same(found, graphs[0].pruned())
    few = load_graph(save_graph(graphs[0], tmp_path / "few.json", most=5))
    assert [edge[2] for edge in few.edges()] == [edge[2] for edge in found.edges()[:5]]
    with pytest.raises(RunError, match="above 0 and at most 1, not 80"):
        graphs[0].pruned(80.0)


def test_layers_features_and_errors_are_called_as_viewers_expect(
    graphs: tuple[AttributionGraph, ...], tmp_path: Path
) -> None:
    told = json.loads(save_graph(graphs[0], tmp_path / "graph.json").read_text())
    by_type: dict[str, dict[str, Any]] = {}
    for node in told["nodes"]:
        by_type.setdefault(node["feature_type"], node)
    feature, error = by_type["cross layer transcoder"], by_type["mlp reconstruction error"]
    layer, index, position = map(int, feature["node_id"].split("_"))
    assert feature["feature"] == (layer + index) * (layer + index + 1) // 2 + index
    assert (feature["layer"], feature["ctx_idx"]) == (str(layer), position)
    assert feature["jsNodeId"] == f"{layer}_{index}-0"
    assert error["feature"] == -1 and error["node_id"] == f"{error['layer']}_-1_{error['ctx_idx']}"
    logit, token = by_type["logit"], by_type["embedding"]
    assert (logit["layer"], logit["clerp"][:8], token["layer"]) == ("4", 'Output "', "E")


def as_circuit_tracer(told: dict[str, Any], error: str) -> dict[str, Any]:
    """Our file as circuit-tracer writes it: its order, its names of errors, its labels, and no key of ours.

    Args:
        error: A name of a layer and a position; of the older form, 0_LAYER_POSITION, one that no feature here has.
    """
    types = ["cross layer transcoder", "mlp reconstruction error", "embedding", "logit"]
    names = {
        node["node_id"]: error.format(node["layer"], node["ctx_idx"])
        if node["feature_type"] == types[1]
        else node["node_id"]
        for node in told["nodes"]
    }
    kept = NODE | {"token_prob", "is_target_logit", "run_idx", "reverse_ctx_idx", "influence", "activation"}
    nodes = [{key: value for key, value in node.items() if key in kept} for node in told["nodes"]]
    for node in nodes:
        label = node["clerp"] if node["feature_type"] == "logit" else ""
        node.update(node_id=names[node["node_id"]], clerp=label)
    nodes.sort(key=lambda node: (types.index(node["feature_type"]), -node["token_prob"]))
    keys = METADATA | {"transcoder_list", "node_threshold", "schema_version"}
    return {
        "metadata": {key: told["metadata"][key] for key in keys},
        "qParams": {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""},
        "nodes": nodes,
        "links": [{**e, "source": names[e["source"]], "target": names[e["target"]]} for e in reversed(told["links"])],
    }


@pytest.mark.parametrize("error", ["{}_-1_{}", "0_9{}_{}"])
def test_circuit_tracer_s_file_of_a_graph_opens_as_the_same_graph(
    error: str, graphs: tuple[AttributionGraph, ...], tmp_path: Path
) -> None:
    pruned = graphs[0].pruned()
    told = json.loads(save_graph(pruned, tmp_path / "ours.json").read_text())
    (tmp_path / "theirs.json").write_text(json.dumps(as_circuit_tracer(told, error)))
    found = load_graph(tmp_path / "theirs.json")
    assert [(n.kind, n.layer, n.position, n.index, n.text) for n in found.nodes] == [
        (n.kind, n.layer, n.position, n.index, n.text) for n in pruned.nodes
    ]
    order = np.argsort(found.rows), np.argsort(pruned.rows)
    assert np.array_equal(found.weights[order[0]], pruned.weights[order[1]])
    assert [node.cumulative for node in found.nodes] == [node.cumulative for node in pruned.nodes]


@pytest.mark.parametrize("which", [0, 1])
def test_viewers_find_what_they_read(which: int, graphs: tuple[AttributionGraph, ...], tmp_path: Path) -> None:
    """By circuit-tracer's and Neuronpedia's pages, which were read and opened with such files."""
    graph = graphs[which]
    told = json.loads(save_graph(graph, tmp_path / "graph.json").read_text())
    metadata, nodes = told["metadata"], told["nodes"]
    assert metadata["schema_version"] == 1 and 0 < metadata["node_threshold"] <= 1  # the slider's end
    assert all(isinstance(told["qParams"][key], str) for key in ("linkType", "clickedId", "sg_pos"))
    assert "clerps" not in told["qParams"]  # what is there is parsed as JSON's text
    for node in nodes:
        assert type(node["feature"]) is int and isinstance(node["clerp"], str)
        assert node["layer"] == "E" or int(node["layer"]) >= 0
        assert node["influence"] is None or 0 <= node["influence"] <= 1  # hidden above the slider
        if node["feature_type"] == "logit":
            assert float(node["clerp"].split("(p=")[1].split(")")[0]) == pytest.approx(node["token_prob"], abs=1e-3)
    places = [(n["layer"], n["feature"], n["ctx_idx"], "error" in n["feature_type"]) for n in nodes]
    assert len(set(places)) == len(nodes)  # pages call a node by these
    logits = [node["feature"] for node in nodes if node["feature_type"] == "logit"]
    assert logits == sorted(logits)  # Neuronpedia's scores sort logits and not their probabilities
    ids = {node["node_id"] for node in nodes}
    assert {end for link in told["links"] for end in (link["source"], link["target"])} <= ids


def foreign() -> dict[str, Any]:
    """As circuit-tracer writes one, without a key of ours."""
    rest = {"token_prob": 0.0, "is_target_logit": False, "run_idx": 0, "reverse_ctx_idx": 0, "activation": None}

    def node(name: str, feature: int, layer: str, kind: str, **others: Any) -> dict[str, Any]:
        told = {"node_id": name, "feature": feature, "layer": layer, "ctx_idx": 1, "feature_type": kind}
        return {**rest, **told, "jsNodeId": f"{name}-0", "clerp": "", "influence": 0.5, **others}

    return {
        "metadata": {
            "slug": "a",
            "scan": "gemma-2-2b",
            "transcoder_list": [],
            "prompt_tokens": ["<bos>", "1"],
            "prompt": "<bos>1",
            "node_threshold": 0.5,
            "schema_version": 1,
            "info": {"creator_name": "someone", "transcoder_set": "gemma", "generator": {"name": "circuit-tracer"}},
        },
        "qParams": {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""},
        "nodes": [
            node("0_6200_1", 19229300, "0", "cross layer transcoder", activation=21.875),
            node("0_-1_1", -1, "0", "mlp reconstruction error"),
            node("E_17_1", 1, "E", "embedding"),
            node("27_40_1", 40, "27", "logit", clerp='Output "4" (p=0.229)', token_prob=0.229, is_target_logit=True),
        ],
        "links": [
            {"source": "E_17_1", "target": "0_6200_1", "weight": 24.5},
            {"source": "0_6200_1", "target": "27_40_1", "weight": -3.0},
            {"source": "0_-1_1", "target": "27_40_1", "weight": 1.0},
        ],
    }


def test_another_tools_file_opens(tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_text(json.dumps(foreign()))
    graph = load_graph(tmp_path / "theirs.json")
    assert [node.kind for node in graph.nodes] == ["token", "feature", "error", "logit"]
    assert [node.influence for node in graph.nodes] == [0.75, 0.75, 0.25, 0.0]
    assert (graph.nodes[-1].text, graph.nodes[-1].layer, graph.model) == ("4", 26, "gemma-2-2b")
    assert graph.replacement is None and {edge[2] for edge in graph.edges()} == {24.5, -3.0, 1.0}
    same(load_graph(save_graph(graph, tmp_path / "ours.json")), graph)


def test_what_a_reader_chose_and_named_in_a_page_is_read(tmp_path: Path) -> None:
    told = foreign()
    told["nodes"][0]["clerp"] = "digits"
    (tmp_path / "named.json").write_text(json.dumps(told))
    graph = load_graph(tmp_path / "named.json")
    assert graph.nodes[1].text == "digits" and graph.nodes[1].label == "f0.6200"
    same(load_graph(save_graph(graph, tmp_path / "ours.json")), graph)
    told["qParams"] = {  # as circuit-tracer's page saves it
        "pinnedIds": "E_17_1,0_6200_1",
        "supernodes": '[["numbers", "E_17_1", "0_6200_1"]]',
        "linkType": None,
        "clickedId": None,
        "clerps": '[["19229300", "one"]]',
    }
    (tmp_path / "saved.json").write_text(json.dumps(told))
    graph = load_graph(tmp_path / "saved.json")
    assert graph.pinned == ("E_17_1", "0_6200_1") and graph.supernodes == (("numbers", "E_17_1", "0_6200_1"),)
    assert graph.nodes[1].text == "one"
    assert graph.labelled({"0_6200_1": "two", "E_17_1": "no"}).nodes[1].text == "two"


def _set(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(told: Any) -> None:
        for key in keys[:-1]:
            told = told[key]
        told[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("metadata", "schema_version", value=2), "schema_version 2; 1 is known"),
        (lambda told: told.pop("links"), "no attribution graph of Neuronpedia's schema 1.0.0.*links"),
        (_set("nodes", 0, "node_id", value="0-6200-1"), "'0-6200-1' is no id of a cross layer transcoder.*5_123_7"),
        (_set("nodes", 0, "layer", value="3"), "said to be of layer 3 and ctx_idx 1, which its id contradicts"),
        (_set("nodes", 1, "node_id", value="0_6200_1"), "two nodes have the id '0_6200_1'"),
        (_set("qParams", "supernodes", value="[["), "qParams"),
        (_set("nodes", 1, "feature_type", value="neuron"), "feature_type 'neuron'; known are embedding"),
        (_set("nodes", 2, "ctx_idx", value=2), "ctx_idx 2, of 2 prompt_tokens"),
        (_set("links", 0, "source", value="E_5_1"), "joins 'E_5_1', which is no node"),
        (_set("links", 0, value={"source": "27_40_1", "target": "0_6200_1", "weight": 1}), "comes before it"),
    ],
)
def test_what_is_no_such_graph_is_refused(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    told = foreign()
    change(told)
    (tmp_path / "bad.json").write_text(json.dumps(told))
    with pytest.raises(FileError, match=message):
        load_graph(tmp_path / "bad.json")
