"""The circuit's file: identity of save and load, packed scores, cut and missing files."""

import base64
import dataclasses
import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.score_kinds import SCORE_KINDS, ScoreKind
from acdc.errors import CircuitError, FileError
from tests.circuits.examples import GRAPHS, circuit_of

# saving and loading


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("scores", [True, False])
def test_save_then_load_is_the_identity(graph: Graph, scores: bool, full: bool, tmp_path: Path) -> None:
    circuit = circuit_of(graph, scores=scores)
    loaded = Circuit.load(circuit.save(tmp_path / "circuit.json", full=full))
    assert loaded == circuit
    assert hash(loaded) == hash(circuit)
    assert loaded.provenance == circuit.provenance
    assert (loaded.scores is None) == (circuit.scores is None)
    assert loaded.score_kind is None
    assert loaded.save(tmp_path / "again.json", full=full).read_bytes() == (tmp_path / "circuit.json").read_bytes()


@pytest.mark.parametrize("kind", [*SCORE_KINDS, None])
def test_what_the_scores_are_is_kept(kind: ScoreKind | None, tmp_path: Path) -> None:
    circuit = dataclasses.replace(circuit_of(GRAPHS[0]), score_kind=kind)
    loaded = Circuit.load(circuit.save(tmp_path / "circuit.json"))
    assert loaded.score_kind == circuit.prune().score_kind == (circuit & loaded).score_kind == kind
    assert (circuit | circuit_of(GRAPHS[0], 1)).score_kind is None, "the scores are dropped"
    assert circuit.to_frame().attrs["score_kind"] == kind
    assert circuit == circuit_of(GRAPHS[0])


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('"effects"', "unknown kind of scores 'effects': did you mean 'effect'"),
        ("3", "must be a name or none, not int"),
    ],
)
def test_a_kind_of_scores_that_is_none_is_refused(written: str, message: str, tmp_path: Path) -> None:
    path = circuit_of(GRAPHS[0]).save(tmp_path / "circuit.json")
    path.write_text(path.read_text().replace('"score_kind": null', f'"score_kind": {written}'))
    with pytest.raises(CircuitError, match=rf"circuit\.json: .*{message}"):
        Circuit.load(path)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("value", [0.1, -1e-308, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, -0.0, math.nan])
def test_every_score_survives_exactly(value: float, full: bool, tmp_path: Path) -> None:
    graph = GRAPHS[0]
    scores = torch.full((graph.n_src, graph.n_dst), value, dtype=torch.float64)
    circuit = Circuit(graph, circuit_of(graph).mask, scores)
    path = circuit.save(tmp_path / "circuit.json", full=full)
    loaded = Circuit.load(path)
    assert loaded == circuit and loaded.scores.signbit()[graph.edges_mask].eq(math.copysign(1, value) < 0).all()
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_scores_of_every_precision_are_kept_as_values(dtype: torch.dtype, tmp_path: Path) -> None:
    graph = GRAPHS[0]
    scores = torch.randn(graph.n_src, graph.n_dst).to(dtype)
    circuit = Circuit.load(Circuit(graph, graph.edges_mask, scores).save(tmp_path / "circuit.json"))
    assert torch.equal(circuit.scores[graph.edges_mask], scores.double()[graph.edges_mask])


def test_empty_and_full_circuits(graph: Graph, tmp_path: Path) -> None:
    for mask in (graph.edges_mask, torch.zeros_like(graph.edges_mask)):
        circuit = Circuit(graph, mask)
        assert Circuit.load(circuit.save(tmp_path / "circuit.json"), graph) == circuit
        assert circuit.n_edges == len(circuit.edges) == int(mask.sum())


def test_saving_replaces_the_file_whole_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = circuit_of(GRAPHS[0]).save(tmp_path / "circuit.json")
    before = path.read_bytes()

    def fail(self: Path, content: bytes) -> int:
        with open(self, "wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(FileError, match="No space left"):
        circuit_of(GRAPHS[0], seed=1).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["circuit.json"]


def test_saving_where_no_folder_is(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"can't write .*No such file"):
        circuit_of(GRAPHS[0]).save(tmp_path / "missing" / "circuit.json")


# the compact form


def test_removed_edges_take_a_few_bytes(tmp_path: Path) -> None:
    """A graph of SmolLM2-135M's shape: 17 MB where each of its 123,211 edges has a line."""
    graph = Graph(30, 9, 576)
    scores = torch.randn(graph.n_src, graph.n_dst, generator=torch.Generator().manual_seed(0))
    circuit = Circuit(graph, graph.edges_mask & (scores > 3), scores)
    path = circuit.save(tmp_path / "circuit.json")
    assert path.stat().st_size < 8 * graph.n_edges, "float32 scores take about five bytes an edge"
    assert path.read_text().count("->") == circuit.n_edges
    assert Circuit.load(path) == circuit


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def test_packed_scores_are_unpacked_as_the_docs_say(graph: Graph, tmp_path: Path) -> None:
    circuit = circuit_of(graph)
    packed = json.loads(circuit.save(tmp_path / "circuit.json").read_text())["packed_scores"]
    docs = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    names = {"np": np, "zlib": zlib, "base64": base64, "packed": packed}
    exec(docs.split("```python\n")[1].split("```")[0], names)
    assert np.array_equal(names["scores"], circuit.scores[graph.edges_mask].numpy(), equal_nan=True)


def test_a_line_that_differs_from_the_packed_scores_is_told(tmp_path: Path) -> None:
    circuit = circuit_of(GRAPHS[0])
    edge = next(edge for edge in circuit.edges if not circuit.scores[circuit.graph.parse_edge(edge)].isnan())
    path = changed(circuit.save(tmp_path / "circuit.json"), lambda data: data["edges"][edge].update(score=17.5))
    with pytest.raises(CircuitError, match=f"gives {edge} the score 17.5 in its line and .* in packed_scores"):
        Circuit.load(path)


def test_an_edge_may_be_removed_by_hand(tmp_path: Path) -> None:
    circuit = circuit_of(GRAPHS[0])
    path = changed(circuit.save(tmp_path / "circuit.json"), lambda data: data["edges"].pop(circuit.edges[0]))
    found = Circuit.load(path)
    assert found.edges == circuit.edges[1:] and torch.equal(found.scores.nan_to_num(9), circuit.scores.nan_to_num(9))


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        ("!", "can't be unpacked"),
        ("AAAA", "can't be unpacked"),
        (base64.b64encode(zlib.compress(b"12345678")).decode(), "must hold 75 numbers"),
        (base64.b64encode(zlib.compress(bytes(10**7))).decode(), "must hold 75 numbers"),  # that would grow
        (base64.b64encode(zlib.compress(bytes(8 * 75))[:-3]).decode(), "must hold 75 numbers"),
        (3, "'packed_scores': input should be a valid string, not 3"),
    ],
)
def test_damaged_packed_scores_are_told(packed: Any, message: str, tmp_path: Path) -> None:
    path = changed(circuit_of(GRAPHS[0]).save(tmp_path / "c.json"), lambda data: data.update(packed_scores=packed))
    assert GRAPHS[0].n_edges == 75
    with pytest.raises(CircuitError, match=message):
        Circuit.load(path)


# files that can't be read, or that hold another model's circuit


def test_truncated_files(tmp_path: Path) -> None:
    content = circuit_of(GRAPHS[0]).save(tmp_path / "circuit.json").read_bytes()
    for length in range(0, len(content) - 3, len(content) // 40):
        (tmp_path / "cut.json").write_bytes(content[:length])
        with pytest.raises(CircuitError, match="is not JSON"):
            Circuit.load(tmp_path / "cut.json")


def test_missing_files_folders_and_bytes(tmp_path: Path) -> None:
    with pytest.raises(CircuitError, match=r"can't read .*missing\.json: No such file"):
        Circuit.load(tmp_path / "missing.json")
    with pytest.raises(CircuitError, match="it is a folder"):
        Circuit.load(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\x80\x00\xff{}")
    with pytest.raises(CircuitError, match="is not JSON"):
        Circuit.load(tmp_path / "bytes.json")


@pytest.mark.parametrize("other", [Graph(3, 3, 12), Graph(2, 3, 16), Graph(2, 3, 12, parallel=True)])
def test_a_file_of_another_shape_shows_both(other: Graph, tmp_path: Path) -> None:
    path = circuit_of(GRAPHS[0]).save(tmp_path / "circuit.json")
    with pytest.raises(CircuitError) as caught:
        Circuit.load(path, other)
    assert f"{GRAPHS[0].shape} of width 12 doesn't fit a model of {other.shape} of width {other.d_model}" in str(
        caught.value
    )
