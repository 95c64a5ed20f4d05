"""The names that ACDC and auto-circuit give to edges, and back."""

import json
from pathlib import Path

import pytest

from acdc.circuits.formats import HookEdge, from_auto_circuit, read_circuit, to_auto_circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError
from tests.circuits.formats.exchange import SMALL


def test_names_of_hooks_and_back(whole_graph: Graph) -> None:
    for edge in whole_graph.edge_names(whole_graph.edges_mask):
        text = str(HookEdge.of(whole_graph, edge))
        assert HookEdge.parse(text).edge(whole_graph) == edge


def test_names_of_auto_circuit_and_back(graph: Graph) -> None:
    names = [to_auto_circuit(edge, graph.spans) for edge in graph.edge_names(graph.edges_mask)]
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
