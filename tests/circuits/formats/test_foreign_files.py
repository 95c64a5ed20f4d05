"""Files of ACDC, auto-circuit and others, written as the tools write them."""

import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats import (
    HookEdge,
    HookPoint,
    read_circuit,
    write_circuit,
)
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError
from tests.circuits.examples import circuit_of
from tests.circuits.formats.exchange import SMALL


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
        ([[2, "A0.0->A1.0.Q"]], "is of one position; give a circuit or a run whose edges are split"),
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
