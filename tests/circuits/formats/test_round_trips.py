"""What each format carries of a circuit, written and read again."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats import (
    FORMATS,
    detect_format,
    format_for,
    read_circuit,
    write_circuit,
)
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError, UnknownNameError
from tests.circuits.examples import circuit_of
from tests.circuits.formats.exchange import LOSSLESS, SMALL, file_for


def holds(name: str, graph: Graph) -> bool:
    return not (graph.parallel and name == "acdc-pth")


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("name", LOSSLESS)
def test_writing_then_reading_is_the_identity(name: str, whole_graph: Graph, scores: bool, tmp_path: Path) -> None:
    circuit = dataclasses.replace(circuit_of(whole_graph, scores=scores), score_kind="gate")
    path = write_circuit(circuit, file_for(name, tmp_path))
    assert detect_format(path).name == format_for(path).name == name
    loaded = read_circuit(path)
    assert loaded == circuit and loaded.provenance == circuit.provenance and loaded.score_kind == "gate"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in LOSSLESS])
def test_formats_of_names_carry_the_mask_and_say_what_they_lose(name: str, whole_graph: Graph, tmp_path: Path) -> None:
    if not holds(name, whole_graph):
        with pytest.raises(CircuitError, match="no parallel blocks"):
            write_circuit(circuit_of(whole_graph), tmp_path / "c", format=name, lossy=True)
        return
    circuit, path = circuit_of(whole_graph), file_for(name, tmp_path)
    n = int((~circuit.scores.isnan()).sum())
    with pytest.raises(CircuitError, match=rf"{name} can't carry the scores of {n:,} edges.*--lossy"):
        write_circuit(circuit, path)
    assert not path.exists()
    write_circuit(circuit, path, lossy=True)
    assert detect_format(path).name == name
    assert read_circuit(path, graph=whole_graph) == Circuit(whole_graph, circuit.mask)
    plain = Circuit(whole_graph, circuit.mask)
    assert read_circuit(write_circuit(plain, path), graph=whole_graph) == plain  # nothing to lose


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
