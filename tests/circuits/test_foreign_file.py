"""The circuit's file between us and EAP-IG or MIB: they read ours, and we read theirs or say what is wrong."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError
from tests.circuits.examples import GRAPHS, circuit_of


def eap_ig_reads(path: Path) -> dict[str, Any]:
    """What EAP-IG's and MIB's readers take from a file, with their demands: these keys, known names, numbers."""
    data = json.loads(path.read_text())
    cfg = data["cfg"]
    graph = Graph(cfg["n_layers"], cfg["n_heads"], cfg["d_model"], cfg["parallel_attn_mlp"])
    nodes, edges = {}, {}
    for name, info in data["nodes"].items():
        assert name in {*graph.sources, "logits"}
        assert "score" not in info and "neurons" not in info  # else they'd switch to node or neuron scores
        nodes[name] = bool(torch.tensor(info["in_graph"]))
    for name, info in data["edges"].items():
        i, j = graph.parse_edge(name)
        in_graph, score = torch.zeros(1, dtype=torch.bool), torch.zeros(1)
        in_graph[0], score[0] = info["in_graph"], info["score"]
        edges[i, j] = (bool(in_graph), float(score))
    return {"graph": graph, "nodes": nodes, "edges": edges}


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("scores", [True, False])
def test_other_tools_read_our_file(whole_graph: Graph, scores: bool, full: bool, tmp_path: Path) -> None:
    """In full, with the score of every edge; compactly, with those of the kept edges, the others being removed."""
    circuit = circuit_of(whole_graph, scores=scores)
    read = eap_ig_reads(circuit.save(tmp_path / "circuit.json", full=full))
    assert read["graph"] == whole_graph
    assert list(read["nodes"]) == [*whole_graph.sources, "logits"]
    assert {name for name, kept in read["nodes"].items() if kept} == set(circuit.nodes)
    listed = whole_graph.edges_mask if full else circuit.mask
    assert set(read["edges"]) == {tuple(edge) for edge in listed.nonzero().tolist()}
    for (i, j), (in_graph, score) in read["edges"].items():
        assert in_graph == bool(circuit.mask[i, j])
        expected = 0.0 if circuit.scores is None or circuit.scores[i, j].isnan() else circuit.scores[i, j].item()
        assert score == pytest.approx(expected, rel=1e-6)


def foreign(graph: Graph, **changes: Any) -> dict[str, Any]:
    """A file as EAP-IG writes it: every edge with a score, no fields of ours."""
    cfg = {"n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel_attn_mlp": graph.parallel}
    data = {
        "cfg": cfg | {"d_model": graph.d_model},
        "nodes": {name: {"in_graph": True} for name in (*graph.sources, "logits")},
        "edges": {
            name: {"score": n / 7, "in_graph": n % 3 == 0} for n, name in enumerate(graph.edge_names(graph.edges_mask))
        },
    }
    return data | changes


def written(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_loads_eap_igs_file(whole_graph: Graph, tmp_path: Path) -> None:
    circuit = Circuit.load(written(tmp_path / "theirs.json", foreign(whole_graph)), whole_graph)
    names = whole_graph.edge_names(whole_graph.edges_mask)
    assert circuit.edges == tuple(names[::3])
    assert circuit.scores is not None
    assert circuit.scores[whole_graph.edges_mask].tolist() == [n / 7 for n in range(whole_graph.n_edges)]
    assert circuit.scores[~whole_graph.edges_mask].isnan().all()
    assert circuit.provenance == {}


def test_loads_every_dialect(tmp_path: Path) -> None:
    graph = GRAPHS[0]
    data = foreign(graph)
    listed = dict(list(data["edges"].items())[:5])
    old = {"cfg": {k: v for k, v in data["cfg"].items() if k != "d_model"}, "nodes": dict.fromkeys(data["nodes"], True)}
    no_scores = {name: {"in_graph": info["in_graph"]} for name, info in data["edges"].items()}
    nulls = {name: info | {"score": None} for name, info in data["edges"].items()}
    nans = json.dumps(data | {"edges": {name: info | {"score": math.nan} for name, info in listed.items()}})
    neurons = {name: {"in_graph": True, "score": 0.5, "neurons": [[True, 1.0]]} for name in data["nodes"]}
    full = Circuit.load(written(tmp_path / "full.json", data))

    partial = Circuit.load(written(tmp_path / "a.json", data | {"edges": listed}))
    assert partial.edges == full.edges[:2] and int(partial.scores.isfinite().sum()) == 5
    assert Circuit.load(written(tmp_path / "b.json", data | old), graph) == full
    for text in (data | {"edges": no_scores}, data | {"edges": nulls}, nans):
        circuit = Circuit.load(written(tmp_path / "c.json", text))
        assert circuit.scores is None and set(circuit.edges) <= set(full.edges)
    assert Circuit.load(written(tmp_path / "d.json", data | {"nodes": neurons, "extra": 1})) == full


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cfg": None}, "'cfg': input should be a valid dictionary, not None"),
        ({"edges": []}, r"'edges': input should be a valid dictionary, not \[\]"),
        ({"cfg": {"n_layers": 2}}, "its cfg is wrong: 'n_heads': field required"),
        (
            {"cfg": {"n_layers": True, "n_heads": 3, "d_model": 12, "parallel_attn_mlp": False}},
            "'n_layers': input should be a valid integer, not True",
        ),
        (
            {"cfg": {"n_layers": math.nan, "n_heads": 3, "d_model": 12, "parallel_attn_mlp": False}},
            "a valid integer, not nan",
        ),
        (
            {"cfg": {"n_layers": 0, "n_heads": 3, "d_model": 12, "parallel_attn_mlp": False}},
            "positive integer of at most 1,000,000, not 0",
        ),
        (
            {"cfg": {"n_layers": 2, "n_heads": 3, "d_model": 12, "parallel_attn_mlp": 0}},
            "'parallel_attn_mlp': input should be a valid boolean, not 0",
        ),
        ({"nodes": {"a7.h0": {"in_graph": True}}}, "'a7.h0' is not a node of a graph of 2 layers x 3 heads"),
        ({"nodes": {"m0": {"in_graph": True, "neurons": [True, False]}}}, "only some neurons of m0"),
        ({"edges": {"input->a9.h0<q>": {"score": 1.0, "in_graph": True}}}, "'a9.h0<q>' is not a destination"),
        ({"edges": {"input->a0.h0": {"score": 1.0, "in_graph": True}}}, "a head as a destination needs its input"),
        ({"edges": {"m1->m0": {"score": 1.0, "in_graph": True}}}, "m1 does not come before m0"),
        ({"edges": {" input -> m0 ": {"score": 1.0, "in_graph": True}}}, "isn't written as an edge's name"),
        ({"edges": {"input->m0": {"score": 1.0, "in_graph": math.nan}}}, "true or false, not"),
        ({"edges": {"input->m0": {"score": 1.0, "in_graph": "yes"}}}, "true or false, not"),
        ({"edges": {"input->m0": {"score": 1.0}}}, "true or false, not"),
        ({"edges": {"input->m0": True}}, "true or false, not True"),
        ({"edges": {"input->m0": {"score": True, "in_graph": True}}}, "needs a number as its score, not True"),
        ({"edges": {"input->m0": {"score": "high", "in_graph": True}}}, "needs a number as its score, not 'high'"),
        ({"edges": {"input->m0": {"score": 10**400, "in_graph": True}}}, "needs a number as its score"),
        ({"acdc": {"version": 99}}, "has format version 99; this program reads versions 1 to 3"),
        ({"acdc": {"provenance": 3}}, "'provenance': input should be a valid dictionary, not 3"),
        ({"acdc": []}, "'acdc': input should be a valid dictionary"),
    ],
)
def test_bad_content_is_named_with_the_file(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "bad.json", foreign(GRAPHS[0]) | changes)
    with pytest.raises(CircuitError, match=message) as caught:
        Circuit.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ('{"cfg": {', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "expected a JSON object, not list"),
        ("{}", "'cfg' is missing .*expected the keys cfg, nodes and edges"),
    ],
)
def test_files_that_hold_no_circuit(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CircuitError, match=message):
        Circuit.load(written(tmp_path / "bad.json", text))
