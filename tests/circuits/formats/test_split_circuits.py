"""Circuits whose edges are split by spans, in every format: carried, or refused and then merged."""

import dataclasses
import json
from pathlib import Path

import pytest

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats import FORMATS, read_circuit, write_circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError
from tests.circuits.examples import SPLIT, circuit_of
from tests.circuits.formats.exchange import LOSSLESS, file_for

CARRIED = [name for name, entry in FORMATS.items() if entry.spans]
EACH = Graph(2, 2, 8).split(["0", "1", "2"])


def test_these_carry_spans() -> None:
    assert set(CARRIED) == {"circuit-json", "auto-circuit", "auto-circuit-json", "graphml", "gexf"}


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("name", [name for name in CARRIED if name in LOSSLESS])
def test_writing_then_reading_is_the_identity(name: str, scores: bool, tmp_path: Path) -> None:
    circuit = dataclasses.replace(circuit_of(SPLIT, scores=scores), score_kind="effect")
    loaded = read_circuit(write_circuit(circuit, file_for(name, tmp_path)))
    assert loaded == circuit and loaded.provenance == circuit.provenance and loaded.score_kind == "effect"
    assert loaded.graph.spans == SPLIT.spans


def test_a_list_of_names_carries_the_mask(tmp_path: Path) -> None:
    circuit = circuit_of(SPLIT)
    path = write_circuit(circuit, tmp_path / "c.auto-circuit.txt", lossy=True)
    assert read_circuit(path) == Circuit(SPLIT, circuit.mask)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in CARRIED])
def test_the_others_refuse_spans_and_merge_them_if_they_may(name: str, tmp_path: Path) -> None:
    circuit, path = circuit_of(SPLIT), file_for(name, tmp_path)
    with pytest.raises(CircuitError, match=rf"{name} can't carry the spans of edges \(prefix, S1\+1, end\)"):
        write_circuit(circuit, path)
    assert not path.exists()
    loaded = read_circuit(write_circuit(circuit, path, lossy=True), graph=SPLIT.whole)
    assert loaded.edges == circuit.merge_spans().edges


def test_a_file_of_split_edges_names_their_spans(tmp_path: Path) -> None:
    circuit = Circuit.from_edges(SPLIT, ["input->a0.h1<k>@S1+1", "a0.h1->logits@end"])
    data = json.loads(circuit.save(tmp_path / "c.json", full=True).read_text())
    assert data["cfg"]["spans"] == ["prefix", "S1+1", "end"] and data["acdc"]["version"] == 3
    assert {name for name, edge in data["edges"].items() if edge["in_graph"]} == set(circuit.edges)
    assert {name for name, node in data["nodes"].items() if node["in_graph"]} == set(circuit.nodes)
    whole = json.loads(circuit.merge_spans().save(tmp_path / "w.json").read_text())
    assert "spans" not in whole["cfg"] and whole["acdc"]["version"] == 2


def test_a_file_of_split_edges_fits_its_model_but_no_other_spans(tmp_path: Path) -> None:
    path = circuit_of(SPLIT).save(tmp_path / "c.json")
    assert Circuit.load(path, SPLIT.whole).graph == SPLIT
    with pytest.raises(CircuitError, match="doesn't fit a model"):
        Circuit.load(path, EACH)
    whole = circuit_of(SPLIT.whole).save(tmp_path / "w.json")
    with pytest.raises(CircuitError, match="doesn't fit a model"):
        Circuit.load(whole, SPLIT)


@pytest.mark.parametrize(
    "content",
    [
        '{"1": {"A0.1->A1.0.Q": 0.5}}',
        '{"A0.1->A1.0.Q": [1]}',
        '[[1, "A0.1->A1.0.Q"]]',
        "1: A0.1->A1.0.Q\n",
    ],
)
def test_positions_of_auto_circuit_are_read(content: str, tmp_path: Path) -> None:
    path = tmp_path / "edges.txt"
    path.write_text(content)
    assert read_circuit(path, graph=EACH).edges == ("a0.h1->a1.h0<q>@1",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[[7, "A0.1->A1.0.Q"]]', "the graph has only the spans 0 to 2"),
        ('["A0.1->A1.0.Q"]', "says no position, and the graph's edges are split by spans"),
        ('[[-1, "A0.1->A1.0.Q"]]', "-1 is not a position"),
        ('{"x": {"A0.1->A1.0.Q": 1}}', "'x' is not a position"),
        ('[[1, "A0.1->Resid End"]]', "does not come before"),
    ],
)
def test_wrong_positions_are_told(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "edges.auto-circuit.json"
    path.write_text(content)
    with pytest.raises(CircuitError, match=message):
        read_circuit(path, graph=EACH)


def test_an_edge_between_two_spans_is_refused(tmp_path: Path) -> None:
    path = write_circuit(Circuit.from_edges(SPLIT, ["input->m0@end"]), tmp_path / "c.graphml")
    path.write_text(path.read_text().replace('source="input@end"', 'source="input@S1+1"'))
    with pytest.raises(CircuitError, match="which are of two spans"):
        read_circuit(path)
