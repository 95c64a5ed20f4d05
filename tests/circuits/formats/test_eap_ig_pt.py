"""EAP-IG's tensors in a file: the tool reads ours, and we read the tool's or say what is wrong."""

from pathlib import Path
from typing import Any

import pytest
import torch

from acdc.circuits.file import cfg_of
from acdc.circuits.formats import read_circuit, write_circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError
from tests.circuits.examples import circuit_of
from tests.circuits.formats.exchange import SMALL, reference_pt


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


def test_the_reference_loads_our_pt(whole_graph: Graph, tmp_path: Path) -> None:
    circuit = circuit_of(whole_graph)
    data, in_graph, scores, nodes = reference_loads_pt(write_circuit(circuit, tmp_path / "c.pt"))
    assert not {"nodes_scores", "neurons_in_graph", "neurons_scores"} & set(data)  # else it would rank nodes or neurons
    assert torch.equal(in_graph, circuit.mask) and not scores.isnan().any()
    known = ~circuit.scores.isnan()
    assert torch.equal(scores[known], circuit.scores[known].float()) and not scores[~known].any()
    assert {source for source, kept in zip(whole_graph.sources, nodes, strict=True) if kept} == set(circuit.nodes) - {
        "logits"
    }


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pt_of_the_reference_is_read(whole_graph: Graph, legacy: bool, tmp_path: Path) -> None:
    data, path = reference_pt(whole_graph), tmp_path / "whatever.bin"
    torch.save(data, path, _use_new_zipfile_serialization=not legacy)
    circuit = read_circuit(path)
    assert circuit.graph == whole_graph and torch.equal(circuit.mask, data["edges_in_graph"])
    assert torch.equal(circuit.scores[whole_graph.edges_mask], data["edges_scores"].double()[whole_graph.edges_mask])


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
