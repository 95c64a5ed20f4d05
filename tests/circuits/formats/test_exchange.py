"""Circuits in other tools' formats: round trips, foreign files in the tools' exact form, hostile and damaged files."""

import dataclasses
import json
import math
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.file import cfg_of
from acdc.circuits.formats import (
    FORMATS,
    HookEdge,
    HookPoint,
    detect_format,
    format_for,
    from_auto_circuit,
    read_circuit,
    to_auto_circuit,
    write_circuit,
)
from acdc.circuits.graph import Graph
from acdc.cli import main
from acdc.errors import CircuitError, UnknownNameError
from tests.circuits.test_circuit import GRAPHS, IDS, circuit_of

LOSSLESS = [name for name, entry in FORMATS.items() if "scores" in entry.carries]
SMALL = Graph(2, 2, 8)


def holds(name: str, graph: Graph) -> bool:
    return not (graph.parallel and name == "acdc-pth")


@pytest.fixture(params=GRAPHS, ids=IDS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return request.param


def file_for(name: str, folder: Path) -> Path:
    return folder / f"circuit{FORMATS[name].suffix}"


# round trips


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("name", LOSSLESS)
def test_writing_then_reading_is_the_identity(name: str, graph: Graph, scores: bool, tmp_path: Path) -> None:
    circuit = dataclasses.replace(circuit_of(graph, scores=scores), score_kind="gate")
    path = write_circuit(circuit, file_for(name, tmp_path))
    assert detect_format(path).name == format_for(path).name == name
    loaded = read_circuit(path)
    assert loaded == circuit and loaded.provenance == circuit.provenance and loaded.score_kind == "gate"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in LOSSLESS])
def test_formats_of_names_carry_the_mask_and_say_what_they_lose(name: str, graph: Graph, tmp_path: Path) -> None:
    if not holds(name, graph):
        with pytest.raises(CircuitError, match="no parallel blocks"):
            write_circuit(circuit_of(graph), tmp_path / "c", format=name, lossy=True)
        return
    circuit, path = circuit_of(graph), file_for(name, tmp_path)
    n = int((~circuit.scores.isnan()).sum())
    with pytest.raises(CircuitError, match=rf"{name} can't carry the scores of {n:,} edges.*--lossy"):
        write_circuit(circuit, path)
    assert not path.exists()
    write_circuit(circuit, path, lossy=True)
    assert detect_format(path).name == name
    assert read_circuit(path, graph=graph) == Circuit(graph, circuit.mask)
    plain = Circuit(graph, circuit.mask)
    assert read_circuit(write_circuit(plain, path), graph=graph) == plain  # nothing to lose


@pytest.mark.parametrize("name", LOSSLESS)
def test_what_a_circuit_says_of_itself_hides_no_format(name: str, tmp_path: Path) -> None:
    words = {"nodes": "hook_", "edges": "A0.0->MLP 1", "note": "<gexf <graphml edges_in_graph hook_resid_pre"}
    circuit = Circuit(SMALL, SMALL.edges_mask, provenance=words)
    loaded = read_circuit(write_circuit(circuit, file_for(name, tmp_path)))
    assert loaded == circuit and loaded.provenance == words


@pytest.mark.parametrize("value", [0.1, -1e-308, 5e-324, math.inf, -math.inf, -0.0, math.nan])
@pytest.mark.parametrize("name", LOSSLESS)
def test_every_score_survives_exactly(name: str, value: float, tmp_path: Path) -> None:
    circuit = Circuit(SMALL, SMALL.edges_mask, torch.full((SMALL.n_src, SMALL.n_dst), value, dtype=torch.float64))
    loaded = read_circuit(write_circuit(circuit, file_for(name, tmp_path)))
    assert loaded == circuit
    if value == 0:
        assert bool(torch.signbit(loaded.scores[SMALL.edges_mask]).all())


@pytest.mark.parametrize("name", FORMATS)
def test_empty_and_full_circuits(name: str, tmp_path: Path) -> None:
    for mask in (SMALL.edges_mask, torch.zeros_like(SMALL.edges_mask)):
        circuit = Circuit(SMALL, mask)
        assert read_circuit(write_circuit(circuit, tmp_path / "c", format=name), format=name, graph=SMALL) == circuit


@pytest.mark.parametrize("name", FORMATS)
def test_a_circuit_of_another_model_is_refused(name: str, tmp_path: Path) -> None:
    path = write_circuit(Circuit(SMALL, SMALL.edges_mask), file_for(name, tmp_path))
    with pytest.raises(CircuitError, match=r"doesn't fit a model of 3 layers|another model|is not a destination"):
        read_circuit(path, graph=Graph(3, 2, 8))


# names


def test_names_of_hooks_and_back(graph: Graph) -> None:
    for edge in graph.edge_names(graph.edges_mask):
        text = str(HookEdge.of(graph, edge))
        assert HookEdge.parse(text).edge(graph) == edge


def test_names_of_auto_circuit_and_back(graph: Graph) -> None:
    names = [to_auto_circuit(edge) for edge in graph.edge_names(graph.edges_mask)]
    assert len(set(names)) == graph.n_edges
    assert [from_auto_circuit(graph, name) for name in names] == [
        (edge,) for edge in graph.edge_names(graph.edges_mask)
    ]


@pytest.mark.parametrize(
    ("edge", "hooks", "auto_circuit"),
    [
        (
            "a9.h9->a10.h0<q>",
            "blocks.9.attn.hook_result[:, :, 9] -> blocks.10.hook_q_input[:, :, 0]",
            "A9.9->A10.0.Q",
        ),
        ("input->a0.h1<v>", "blocks.0.hook_resid_pre[:] -> blocks.0.hook_v_input[:, :, 1]", "Resid Start->A0.1.V"),
        ("m3->m4", "blocks.3.hook_mlp_out[:] -> blocks.4.hook_mlp_in[:]", "MLP 3->MLP 4"),
        ("m11->logits", "blocks.11.hook_mlp_out[:] -> blocks.11.hook_resid_post[:]", "MLP 11->Resid End"),
    ],
)
def test_names_are_those_of_the_tools(edge: str, hooks: str, auto_circuit: str) -> None:
    graph = Graph(12, 12, 768)
    assert str(HookEdge.of(graph, edge)) == hooks and to_auto_circuit(edge) == auto_circuit
    assert HookEdge.parse(hooks).edge(graph) == edge and from_auto_circuit(graph, auto_circuit) == (edge,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hook_pos_embed[:] -> blocks.0.hook_mlp_in[:]", "tokens and positions are one source"),
        ("blocks.0.hook_mlp_out[:, 3] -> blocks.1.hook_mlp_in[:]", "single positions can't be carried"),
        ("blocks.0.attn.hook_result[:, 2, 1] -> blocks.1.hook_mlp_in[:]", "single positions can't be carried"),
        ("blocks.0.attn.hook_result[:] -> blocks.1.hook_mlp_in[:]", "must say its head"),
        ("blocks.0.attn.hook_result[:, :, 7] -> blocks.1.hook_mlp_in[:]", "'a0.h7' is not a source"),
        ("blocks.1.hook_mlp_out[:] -> blocks.0.hook_mlp_in[:]", "does not come before"),
        ("blocks.0.hook_mlp_out[:] -> blocks.0.hook_resid_post[:]", "is not a destination"),
        ("blocks.1.hook_resid_pre[:] -> blocks.1.hook_mlp_in[:]", "is not a source"),
        ("blocks.0.hook_mlp_out[:]", "expected 'sender -> receiver'"),
        ("blocks.0.hook_mlp_out[::2] -> blocks.1.hook_mlp_in[:]", "must be numbers and colons"),
        ("! -> blocks.1.hook_mlp_in[:]", "is not a hook point"),
    ],
)
def test_hooks_that_are_no_edge_are_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "edges.acdc.txt"
    path.write_text(f"# a note\n\n{text}\n")
    with pytest.raises(CircuitError, match=message):
        read_circuit(path, graph=SMALL)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("A0.0->Block 1 Resid Mid", "is not a destination"),
        ("Resid End->A0.0.Q", "is not a source"),
        ("A0.5->MLP 1", "is not a source of a graph of 2 layers"),
        ("MLP 1->A0.0.Q", "does not come before"),
        ("A0.0", "is not an edge"),
    ],
)
def test_names_that_are_no_edge_are_named(name: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "edges.auto-circuit.json"
    path.write_text(json.dumps([name]))
    with pytest.raises(CircuitError, match=message):
        read_circuit(path, graph=SMALL)


# foreign files, written as the tools write them


def reference_pt(graph: Graph, **changes: Any) -> dict[str, Any]:
    """What EAP-IG's `Graph.to_pt` saves."""
    torch.manual_seed(0)
    shape = (graph.n_src, graph.n_dst)
    scores = torch.randn(shape) * graph.edges_mask
    cfg = {"n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel_attn_mlp": graph.parallel}
    data = {
        "cfg": cfg | {"d_model": graph.d_model},
        "src_nodes": list(graph.sources),
        "dst_nodes": list(graph.destinations),
        "edges_scores": scores,
        "edges_in_graph": scores.abs() > 1,
        "nodes_in_graph": torch.ones(graph.n_src, dtype=torch.bool),
    }
    return data | changes


def reference_loads_pt(path: Path) -> tuple[dict[str, Any], torch.Tensor, torch.Tensor, torch.Tensor]:
    """What EAP-IG's `Graph.from_pt` does with a file, with its demands."""
    d = torch.load(path)
    required = ["cfg", "src_nodes", "dst_nodes", "edges_scores", "edges_in_graph", "nodes_in_graph"]
    assert all(key in d for key in required) and d["edges_scores"].shape == d["edges_in_graph"].shape
    n_layers, n_heads = d["cfg"]["n_layers"], d["cfg"]["n_heads"]
    assert {"d_model", "parallel_attn_mlp"} <= set(d["cfg"])
    n_forward, n_backward = 1 + n_layers * (n_heads + 1), n_layers * (3 * n_heads + 1) + 1
    in_graph, scores = torch.zeros((n_forward, n_backward)).bool(), torch.zeros((n_forward, n_backward))
    nodes = torch.zeros(n_forward).bool()
    in_graph[:], scores[:], nodes[:] = d["edges_in_graph"], d["edges_scores"], d["nodes_in_graph"]
    return d, in_graph, scores, nodes


def test_the_reference_loads_our_pt(graph: Graph, tmp_path: Path) -> None:
    circuit = circuit_of(graph)
    data, in_graph, scores, nodes = reference_loads_pt(write_circuit(circuit, tmp_path / "c.pt"))
    assert not {"nodes_scores", "neurons_in_graph", "neurons_scores"} & set(data)  # else it would rank nodes or neurons
    assert torch.equal(in_graph, circuit.mask) and not scores.isnan().any()
    known = ~circuit.scores.isnan()
    assert torch.equal(scores[known], circuit.scores[known].float()) and not scores[~known].any()
    assert {source for source, kept in zip(graph.sources, nodes, strict=True) if kept} == set(circuit.nodes) - {
        "logits"
    }


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pt_of_the_reference_is_read(graph: Graph, legacy: bool, tmp_path: Path) -> None:
    data, path = reference_pt(graph), tmp_path / "whatever.bin"
    torch.save(data, path, _use_new_zipfile_serialization=not legacy)
    circuit = read_circuit(path)
    assert circuit.graph == graph and torch.equal(circuit.mask, data["edges_in_graph"])
    assert torch.equal(circuit.scores[graph.edges_mask], data["edges_scores"].double()[graph.edges_mask])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cfg": {"n_layers": 2}}, "its cfg is wrong: 'n_heads': field required"),
        ({"cfg": [2, 2]}, "'cfg' must be a dict"),
        ({"src_nodes": ["input"]}, "'src_nodes' aren't those of a graph"),
        ({"dst_nodes": list(reversed(SMALL.destinations))}, "'dst_nodes' aren't those of a graph"),
        (
            {"edges_scores": torch.zeros(3, 3)},
            r"'edges_scores' .* must be a tensor \[7, 15\] of numbers, not float32 \[3, 3\]",
        ),
        (
            {"edges_in_graph": torch.zeros(7, 14, dtype=torch.bool)},
            r"must be a tensor \[7, 15\] of numbers, not bool \[7, 14\]",
        ),
        ({"edges_in_graph": [True]}, r"must be a tensor \[7, 15\] of numbers, not list"),
        ({"edges_in_graph": torch.full((7, 15), 0.5)}, "true and false alone"),
        ({"edges_in_graph": torch.ones(7, 15, dtype=torch.bool)}, "pairs that are not edges.*--lossy"),
        ({"neurons_in_graph": torch.zeros(7, 8, dtype=torch.bool)}, "some neurons"),
        ({"nodes_scores": torch.ones(7)}, "scores of nodes.*--lossy"),
        ({"acdc": {"version": 9}}, "format version 9"),
        ({"acdc": {"provenance": "{"}}, "is not JSON"),
    ],
)
def test_a_wrong_pt_is_told(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    torch.save(reference_pt(SMALL, **changes), tmp_path / "c.pt")
    with pytest.raises(CircuitError, match=message) as caught:
        read_circuit(tmp_path / "c.pt")
    assert "c.pt" in str(caught.value)


def test_lossy_reading_drops_node_scores_and_pairs_that_are_no_edges(tmp_path: Path) -> None:
    data = reference_pt(SMALL, edges_in_graph=torch.ones(7, 15, dtype=torch.bool), nodes_scores=torch.ones(7))
    torch.save(data, tmp_path / "c.pt")
    assert torch.equal(read_circuit(tmp_path / "c.pt", lossy=True).mask, SMALL.edges_mask)


def test_a_pt_without_a_part_names_it(tmp_path: Path) -> None:
    data = reference_pt(SMALL)
    del data["edges_scores"]
    torch.save(data, tmp_path / "c.pt")
    with pytest.raises(CircuitError, match="lacks 'edges_scores'"):
        read_circuit(tmp_path / "c.pt")


def test_node_scores_in_json_are_told(tmp_path: Path) -> None:
    path = Circuit(SMALL, SMALL.edges_mask).save(tmp_path / "c.json")
    data = json.loads(path.read_text())
    data["nodes"]["m0"]["score"] = math.nan
    path.write_text(json.dumps(data))
    assert read_circuit(path).n_edges == SMALL.n_edges
    data["nodes"]["m0"]["score"] = 0.5
    path.write_text(json.dumps(data))
    with pytest.raises(CircuitError, match="scores of nodes"):
        read_circuit(path)
    assert read_circuit(path, lossy=True).n_edges == SMALL.n_edges


def acdc_graph(n_layers: int, n_heads: int) -> list[tuple[str, tuple, str, tuple]]:
    """Every edge of ACDC's graph, made as its `setup_from_model` makes it, from the logits to the input."""
    edges, downstream = [], [(f"blocks.{n_layers - 1}.hook_resid_post", (None,))]
    for layer in reversed(range(n_layers)):
        out, entry = (f"blocks.{layer}.hook_mlp_out", (None,)), (f"blocks.{layer}.hook_mlp_in", (None,))
        edges += [(*receiver, *out) for receiver in downstream] + [(*out, *entry)]
        downstream.append(entry)
        inputs = []
        for head in reversed(range(n_heads)):
            index = (None, None, head)
            result = (f"blocks.{layer}.attn.hook_result", index)
            edges += [(*receiver, *result) for receiver in downstream]
            for letter in "qkv":
                middle, entry = (
                    (f"blocks.{layer}.attn.hook_{letter}", index),
                    (
                        f"blocks.{layer}.hook_{letter}_input",
                        index,
                    ),
                )
                edges += [(*result, *middle), (*middle, *entry)]
                inputs.append(entry)
        downstream += inputs
    return edges + [(*receiver, "blocks.0.hook_resid_pre", (None,)) for receiver in downstream]


@pytest.mark.parametrize("graph", [Graph(2, 3, 12), Graph(1, 1, 4)])
def test_a_pth_of_acdc_is_read_and_ours_has_its_keys(graph: Graph, tmp_path: Path) -> None:
    theirs = acdc_graph(graph.n_layers, graph.n_heads)
    circuit = Circuit(graph, circuit_of(graph).mask)
    ours = torch.load(write_circuit(circuit, tmp_path / "ours.pth"), weights_only=True)
    assert set(ours) == set(theirs)  # what its `load_subgraph` asserts
    saved = OrderedDict((edge, n % 3 == 0) for n, edge in enumerate(theirs))
    torch.save(saved, tmp_path / "theirs.pth")
    found = read_circuit(tmp_path / "theirs.pth", graph=graph)
    kept = {HookEdge(HookPoint(c, ci), HookPoint(p, pi)) for (c, ci, p, pi), present in saved.items() if present}
    assert set(found.edges) == {edge.edge(graph) for edge in kept if not edge.is_inside_a_node}
    with pytest.raises(CircuitError, match="doesn't say the model's shape"):
        read_circuit(tmp_path / "theirs.pth")


def test_what_acdc_pickles_is_read_as_json(tmp_path: Path) -> None:
    """`save_edges` pickles [((receiver, index, sender, index), effect), ...], inner edges among them."""
    edges = [
        [["blocks.1.hook_resid_post", [None], "blocks.0.attn.hook_result", [None, None, 1]], 0.25],
        [["blocks.0.hook_q_input", "[:, :, 1]", "blocks.0.hook_resid_pre", "[:]"], None],
        [["blocks.0.attn.hook_q", [None, None, 1], "blocks.0.hook_q_input", [None, None, 1]], 0.5],
        [["blocks.1.hook_resid_mid", [None], "blocks.0.hook_mlp_out", [None]], -1],
    ]
    (tmp_path / "edges.json").write_text(json.dumps(edges))
    circuit = read_circuit(tmp_path / "edges.json", graph=SMALL)
    assert set(circuit.edges) == {"a0.h1->logits", "input->a0.h1<q>", "m0->m1"}
    assert circuit.scores[SMALL.parse_edge("a0.h1->logits")] == 0.25
    assert int((~circuit.scores.isnan()).sum()) == 2
    (tmp_path / "bare.json").write_text(json.dumps([edge for edge, _ in edges]))
    assert read_circuit(tmp_path / "bare.json", graph=SMALL).mask.equal(circuit.mask)
    with pytest.raises(CircuitError, match=r"doesn't say the model's shape.*--graph"):
        read_circuit(tmp_path / "edges.json")


@pytest.mark.parametrize("content", ["A0.1->MLP 0\nA0.0->A1.0\n", '["A0.1->MLP 0", "A0.0->A1.0"]'])
def test_a_list_of_auto_circuit_is_read(content: str, tmp_path: Path) -> None:
    (tmp_path / "edges").write_text(content)
    circuit = read_circuit(tmp_path / "edges", graph=SMALL)
    assert set(circuit.edges) == {"a0.h1->m0", *(f"a0.h0->a1.h0<{kind}>" for kind in "qkv")}
    assert circuit.scores is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[2, "A0.0->A1.0.Q"]], "single positions"),
        ([{"edge": "A0.0->A1.0.Q"}], "is not an edge"),
        ({"A0.0->A1.0.Q": "high"}, "needs a number or null"),
        ({"A0.0->A1.0.Q": True}, "needs a number or null"),
        ({"edges": "A0.0->MLP 1"}, "holds no edges"),
        ({"edges": {"A0.0->MLP 1": 1.0}, "removed": {"A0.0->MLP 1": 0.0}}, "as kept and as removed"),
        ({"edges": ["A0.0->MLP 1"], "cfg": 3}, "'cfg': input should be a valid dictionary, not 3"),
        ({"edges": ["A0.0->MLP 1"], "provenance": 3}, "'provenance': input should be a valid dictionary, not 3"),
    ],
)
def test_wrong_lists_are_told(value: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.auto-circuit.json").write_text(json.dumps(value))
    with pytest.raises(CircuitError, match=message):
        read_circuit(tmp_path / "c.auto-circuit.json", graph=SMALL)


def test_graphml_of_another_tool_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.graphml").write_text(
        '<?xml version="1.0"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
        '<key id="d0" for="edge" attr.name="input" attr.type="string"/>'
        '<key id="d1" for="edge" attr.name="score" attr.type="double"/><graph edgedefault="directed">'
        '<node id="input"/><node id="a0.h1"/><node id="logits"/>'
        '<edge source="input" target="a0.h1"><data key="d0">v</data><data key="d1">0.5</data></edge>'
        '<edge source="a0.h1" target="logits"/></graph></graphml>'
    )
    circuit = read_circuit(tmp_path / "c.graphml", graph=SMALL)
    assert circuit.edges == ("input->a0.h1<v>", "a0.h1->logits")
    assert circuit.scores[SMALL.parse_edge("input->a0.h1<v>")] == 0.5


# hostile and damaged files


class Payload:
    """A pickle whose reading would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("name", ["edges.pkl", "edges.pt", "edges.pth", "edges.json", "edges"])
@pytest.mark.parametrize("how", ["pickle", "torch", "legacy", "hidden"])
def test_nothing_in_a_pickle_is_run(name: str, how: str, tmp_path: Path) -> None:
    target, path = tmp_path / "owned", tmp_path / name
    payload = Payload(target)
    if how == "pickle":
        path.write_bytes(pickle.dumps([payload]))
    else:
        data = reference_pt(SMALL, acdc=payload) if how == "hidden" else payload
        torch.save(data, path, _use_new_zipfile_serialization=how != "legacy")
    for format in (None, "eap-ig-pt", "acdc-pth"):
        with pytest.raises(CircuitError):
            read_circuit(path, format=format, graph=SMALL)
    assert not target.exists()
    if how == "pickle":
        with pytest.raises(CircuitError, match=r"is a pickle, and reading one can run any code.*json\.dump"):
            read_circuit(path)
    pickle.loads(pickle.dumps(payload))
    assert target.exists()  # the payload does work


@pytest.mark.parametrize("legacy", [False, True])
def test_what_is_wrong_with_a_torch_file_is_said_without_advice_on_models(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save(reference_pt(SMALL, acdc=Payload(tmp_path)), path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CircuitError) as caught:
        read_circuit(path)
    message = str(caught.value)
    assert message.endswith("it holds an object of 'posix.mkdir'") or os.name != "posix"
    path.write_bytes(write_circuit(circuit_of(SMALL), path).read_bytes()[:-1])
    with pytest.raises(CircuitError) as caught:
        read_circuit(path)
    for text in (message, str(caught.value)):
        for word in ("weights_only", "issue", "report", "torch.load", "safe_globals", "checkpoint", "PyTorch"):
            assert word not in text, text


def test_a_torch_file_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.circuits.formats.torch_files.MAX_BYTES", 10**6)
    path = write_circuit(circuit_of(SMALL), tmp_path / "c.pt")
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, part in parts.items():
            new.writestr(name, bytes(10**7) if name.endswith("/data/0") else part)
    assert path.stat().st_size < 10**5
    with pytest.raises(CircuitError, match=r"unpacks to 10,\d+,\d+ bytes, more than the 1,000,000 that are read"):
        read_circuit(path)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "acdc-pth"])
@pytest.mark.parametrize("n_layers", [10**6, 10**9])
def test_a_graph_of_a_million_layers_is_refused_at_once(name: str, n_layers: int, tmp_path: Path) -> None:
    path = write_circuit(Circuit(SMALL, circuit_of(SMALL).mask), file_for(name, tmp_path))
    if name == "eap-ig-pt":
        torch.save(reference_pt(SMALL, cfg=cfg_of(SMALL) | {"n_layers": n_layers}), path)
    else:
        text = path.read_text()
        assert text.count("n_layers") == 1
        path.write_text(re.sub(r"(n_layers[^0-9]+)2", rf"\g<1>{n_layers}", text))
    with pytest.raises(CircuitError, match=r"at most (100,000,000 pairs|1,000,000, not 1000000000)"):
        read_circuit(path)


def test_a_second_key_does_not_win(tmp_path: Path) -> None:
    for name in ("eap-ig", "acdc-json", "auto-circuit-json"):
        path = write_circuit(circuit_of(SMALL), file_for(name, tmp_path))
        path.write_text(path.read_text().replace('"edges":', '"edges": {}, "edges":'))
        with pytest.raises(CircuitError, match="has the key 'edges' twice"):
            read_circuit(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[["A0.0->MLP 1", 1.0]]', "is not an edge"),
        ('{"edges": {"A0.0->A1.0": 1.0, "A0.0->A1.0.Q": 2.0}}', "listed twice, with the scores 1 and 2"),
        ('{"A0.0->MLP 1": 1' + "0" * 400 + "}", "needs a number or null as its score"),
        ('["' + "A" * 1_000_000 + '->MLP 1"]', "an edge's name of 1,000,007 letters .* at most 200"),
    ],
)
def test_lists_that_contradict_themselves_or_have_no_end_are_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.auto-circuit.json").write_text(text)
    with pytest.raises(CircuitError, match=message) as caught:
        read_circuit(tmp_path / "c.auto-circuit.json", graph=SMALL)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("suffix", [".graphml", ".gexf"])
def test_xml_in_an_encoding_that_hides_entities_is_refused(suffix: str, tmp_path: Path) -> None:
    path = write_circuit(circuit_of(SMALL), tmp_path / f"c{suffix}")
    body = re.sub(r"^<\?xml[^>]*>\s*", "", path.read_text())
    path.write_bytes(b'<?xml version="1.0" encoding="cp037"?>' + body.encode("utf-8"))
    with pytest.raises(CircuitError, match="is declared as 'cp037'; only UTF-8 is read"):
        read_circuit(path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_file_is_told(name: str, tmp_path: Path) -> None:
    path = write_circuit(Circuit(SMALL, SMALL.edges_mask), file_for(name, tmp_path))
    content = path.read_bytes()
    for share in (0.3, 0.7, 0.95):
        cut = content[: int(len(content) * share)]
        path.write_bytes(cut if "json" in name or b"\n" not in cut else cut.rstrip(b"\n"))
        if name in ("acdc", "auto-circuit") and cut[-1:] in b"\n]dQKV0123456789":
            continue  # a shorter list of lines is a list
        with pytest.raises(CircuitError):
            read_circuit(path, format=name, graph=SMALL)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"{", b"[1, 2", b"<x", "é".encode("latin-1"), b"PK\x03\x04junk"])
def test_rubbish_is_told_in_every_format(format: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(content)
    if format in ("acdc", "auto-circuit") and not content:
        assert read_circuit(tmp_path / "rubbish", format=format, graph=SMALL).n_edges == 0  # a list of no edges
        return
    with pytest.raises(CircuitError, match="rubbish"):
        read_circuit(tmp_path / "rubbish", format=format, graph=SMALL)


def test_entities_are_not_read(tmp_path: Path) -> None:
    path = write_circuit(Circuit(SMALL, SMALL.edges_mask), tmp_path / "c.graphml")
    path.write_text(path.read_text().replace("<graphml", '<!DOCTYPE x [<!ENTITY a "b">]><graphml', 1))
    with pytest.raises(CircuitError, match="document type"):
        read_circuit(path)


def test_unknown_formats_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'eap-ig-pt'.*gexf"):
        read_circuit(tmp_path / "c", format="eap-ig-pth")
    with pytest.raises(CircuitError, match=r"doesn't say its format; known: eap-ig \(\.json\).*--to"):
        write_circuit(Circuit(SMALL, SMALL.edges_mask), tmp_path / "c.xyz")
    (tmp_path / "c.xyz").write_text("hello")
    with pytest.raises(CircuitError, match=r"in no format that is known; known: eap-ig \(\.json\).*--from"):
        read_circuit(tmp_path / "c.xyz")
    with pytest.raises(CircuitError, match="can't read"):
        read_circuit(tmp_path / "missing.json")


# the command line


def test_the_command_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    circuit = circuit_of(SMALL)
    source = circuit.save(tmp_path / "a.json")
    assert main(["convert", str(source), str(tmp_path / "b.out"), "--to", "eap-ig-pt"]) == 0
    assert main(["convert", str(tmp_path / "b.out"), str(tmp_path / "c.gexf"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n_edges"] == circuit.n_edges
    assert read_circuit(tmp_path / "c.gexf") == circuit
    assert main(["convert", str(source), str(tmp_path / "d.acdc.txt")]) == 2
    assert "--lossy" in capsys.readouterr().err
    assert main(["convert", str(source), str(tmp_path / "d.acdc.txt"), "--lossy"]) == 0
    (tmp_path / "e.txt").write_text("A0.1->MLP 0\n")
    assert main(["convert", str(tmp_path / "e.txt"), str(tmp_path / "e.json"), "--graph", str(source)]) == 0
    assert Circuit.load(tmp_path / "e.json").edges == ("a0.h1->m0",)
    assert main(["convert", str(source), str(tmp_path / "f"), "--to", "gefx"]) == 2
    assert "did you mean 'gexf'" in capsys.readouterr().err
    assert main(["convert", str(source)]) == 2
    assert main(["convert", "--formats", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out.splitlines()[-1])] == list(FORMATS)


def test_scores_are_flipped_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    circuit = circuit_of(SMALL)
    source, target = circuit.save(tmp_path / "a.json"), tmp_path / "b.pt"
    assert main(["convert", str(source), str(target), "--flip-scores"]) == 0
    flipped = read_circuit(target)
    assert torch.equal(flipped.mask, circuit.mask) and torch.equal(
        flipped.scores.nan_to_num(7.0), (-circuit.scores).nan_to_num(7.0)
    )
    assert flipped.provenance == circuit.provenance | {"flipped_scores": True}
    assert flipped.flip_scores() == circuit and circuit.flip_scores() == flipped
    names = tmp_path / "c.txt"
    names.write_text("A0.1->MLP 0\n")
    assert main(["convert", str(names), str(target), "--graph", str(source), "--flip-scores"]) == 2
    assert "no scores" in capsys.readouterr().err


LAUGHS: list[Any] = ["ha"]
for _ in range(60):  # a few bytes in a pickle, and 2 ** 60 words as text
    LAUGHS = [LAUGHS, LAUGHS]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, LAUGHS) for key in ("cfg", "acdc", "src_nodes", "edges_scores", "nodes_scores")),
        *(("cfg", cfg_of(SMALL) | {"n_layers": value}) for value in (LAUGHS, 10**5000)),
        *(("acdc", {"version": value}) for value in (LAUGHS, 10**5000)),
        ("acdc", {"score_kind": LAUGHS}),
        *(("acdc", {key: torch.ones(3)}) for key in ("version", "scores", "score_kind", "provenance")),
        ("cfg", cfg_of(SMALL) | {"n_layers": torch.ones(3)}),
        ("src_nodes", [torch.ones(3)] * SMALL.n_src),
    ],
    ids=range(16),
)
def test_values_that_grow_when_they_are_shown_are_shown_in_short(key: str, value: Any, tmp_path: Path) -> None:
    torch.save(reference_pt(SMALL, **{key: value}), tmp_path / "c.pt")
    with pytest.raises(CircuitError) as caught:
        read_circuit(tmp_path / "c.pt")
    assert len(str(caught.value)) < 500
