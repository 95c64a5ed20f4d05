"""The circuit as a value: identity of save and load, foreign files, set algebra, immutability, bad files."""

import base64
import copy
import dataclasses
import importlib.util
import json
import math
import pickle
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import acdc.circuits.circuit as circuit_module
from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.score_kinds import SCORE_KINDS, ScoreKind
from acdc.errors import CircuitError, FileError

GRAPHS = [Graph(2, 3, 12), Graph(2, 3, 12, parallel=True), Graph(1, 1, 4), Graph(4, 4, 128)]
IDS = ["sequential", "parallel", "smallest", "bundled"]
PROVENANCE = {"task": "ioi", "model": "acdc-small", "method": "acdc", "tau": 0.01, "note": 'a "quote" é\n', "n": [1, 2]}


def circuit_of(graph: Graph, seed: int = 0, *, scores: bool = True, share: float = 0.3) -> Circuit:
    """A random circuit with a third of its edges not measured."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(graph.n_src, graph.n_dst, generator=generator) < share) & graph.edges_mask
    values = torch.randn(graph.n_src, graph.n_dst, generator=generator, dtype=torch.float64)
    values[torch.rand(values.shape, generator=generator) < 1 / 3] = math.nan
    return Circuit(graph, mask, values if scores else None, PROVENANCE)


@pytest.fixture(params=GRAPHS, ids=IDS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return request.param


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


# other tools' files


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
def test_other_tools_read_our_file(graph: Graph, scores: bool, full: bool, tmp_path: Path) -> None:
    """In full, with the score of every edge; compactly, with those of the kept edges, the others being removed."""
    circuit = circuit_of(graph, scores=scores)
    read = eap_ig_reads(circuit.save(tmp_path / "circuit.json", full=full))
    assert read["graph"] == graph
    assert list(read["nodes"]) == [*graph.sources, "logits"]
    assert {name for name, kept in read["nodes"].items() if kept} == set(circuit.nodes)
    listed = graph.edges_mask if full else circuit.mask
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


def test_loads_eap_igs_file(graph: Graph, tmp_path: Path) -> None:
    circuit = Circuit.load(written(tmp_path / "theirs.json", foreign(graph)), graph)
    names = graph.edge_names(graph.edges_mask)
    assert circuit.edges == tuple(names[::3])
    assert circuit.scores is not None
    assert circuit.scores[graph.edges_mask].tolist() == [n / 7 for n in range(graph.n_edges)]
    assert circuit.scores[~graph.edges_mask].isnan().all()
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
        ({"acdc": {"version": 99}}, "has format version 99; this program reads versions 1 and 2"),
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


# a value


def test_nothing_given_or_read_changes_the_circuit() -> None:
    graph = GRAPHS[0]
    mask, scores, provenance = graph.edges_mask, torch.ones(graph.n_src, graph.n_dst), {"list": [1]}
    circuit, twin = (Circuit(graph, mask, scores, provenance) for _ in range(2))
    before = mask.clone(), scores.clone(), copy.deepcopy(provenance)
    assert torch.equal(mask, before[0]) and torch.equal(scores, before[1]) and provenance == before[2]
    mask.zero_()
    scores.zero_()
    provenance["list"].append(2)
    circuit.mask.zero_()
    circuit.scores.zero_()
    circuit.mask[0].zero_()
    circuit.mask.view(-1)[2:] = False
    circuit.scores.numpy()[:] = 2.0
    circuit.provenance["list"].append(3)
    assert circuit == twin and circuit.n_edges == graph.n_edges and circuit.provenance == {"list": [1]}
    with pytest.raises(dataclasses.FrozenInstanceError):
        circuit.mask = mask  # type: ignore[misc]


def test_reading_a_large_circuit_copies_nothing() -> None:
    """At the shape of an 8B model the scores take 26 MB, whose copy takes milliseconds."""
    graph = Graph(32, 32, 4096)
    circuit = Circuit(graph, graph.edges_mask, torch.rand(graph.n_src, graph.n_dst, dtype=torch.float64))
    began = time.process_time()
    for _ in range(300):
        assert circuit.mask.dtype == torch.bool and circuit.scores.dtype == torch.float64
    assert time.process_time() - began < 0.3


def test_copies_are_equal() -> None:
    circuit = circuit_of(GRAPHS[0])
    assert copy.deepcopy(circuit) == pickle.loads(pickle.dumps(circuit)) == dataclasses.replace(circuit) == circuit
    assert dataclasses.replace(circuit, provenance={}) == circuit


def test_equality_sees_graph_mask_and_scores() -> None:
    circuit = circuit_of(GRAPHS[0])
    scores = circuit.scores
    scores[0, 0] = 17.0
    others = [
        circuit_of(GRAPHS[1]),
        circuit_of(GRAPHS[0], seed=1),
        dataclasses.replace(circuit, scores=None),
        dataclasses.replace(circuit, scores=scores),
        "circuit",
    ]
    assert all(circuit != other for other in others)
    assert len({circuit, dataclasses.replace(circuit), circuit_of(GRAPHS[0], seed=1)}) == 2


@pytest.mark.parametrize(
    ("mask", "scores", "message"),
    [
        (torch.ones(2, 2, dtype=torch.bool), None, r"must be bool \[9, 21\], not bool \[2, 2\]"),
        (torch.ones(9, 21, dtype=torch.bool), None, "pairs that are not edges"),
        (GRAPHS[0].edges_mask, torch.ones(9, 20), r"must be \[9, 21\], not \[9, 20\]"),
        (GRAPHS[0].edges_mask, torch.ones(9, 21, dtype=torch.int64), "floating point tensor"),
    ],
)
def test_tensors_that_do_not_fit(mask: torch.Tensor, scores: torch.Tensor | None, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        unchecked().Circuit(GRAPHS[0], mask, scores)


def unchecked() -> ModuleType:
    """The module as users have it: without the shape checks of the tests, which would raise first."""
    spec = importlib.util.spec_from_file_location("circuit_without_checks", circuit_module.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_provenance_must_be_json() -> None:
    for provenance in ({"path": Path("x")}, {"value": math.nan}):
        with pytest.raises(CircuitError, match="JSON can hold"):
            Circuit(GRAPHS[0], GRAPHS[0].edges_mask, None, provenance)


# set operations


def test_set_algebra_is_that_of_the_edges() -> None:
    a, b = circuit_of(GRAPHS[0], 1, scores=False), circuit_of(GRAPHS[0], 2, scores=False)
    edges_a, edges_b = set(a.edges), set(b.edges)
    assert set((a | b).edges) == edges_a | edges_b
    assert set((a & b).edges) == edges_a & edges_b
    assert set((a - b).edges) == edges_a - edges_b
    assert set((a ^ b).edges) == edges_a ^ edges_b
    assert (a | b) - (a & b) == a ^ b and a | b == b | a and a & (a | b) == a and (a - a).n_edges == 0


def test_set_operations_keep_only_scores_that_agree() -> None:
    a, b = circuit_of(GRAPHS[0], 1), circuit_of(GRAPHS[0], 2)
    same = dataclasses.replace(b, scores=a.scores)
    assert a | a == a & a == a
    assert torch.equal((a | same).scores.nan_to_num(), a.scores.nan_to_num())
    assert (a | b).scores is None
    assert (a | b).provenance["operands"] == [a.provenance, b.provenance] and (a | b).origin == a.origin


def test_set_operations_need_one_graph() -> None:
    with pytest.raises(
        CircuitError, match=r"\| needs two circuits of one graph, not 2 layers x 3 heads of width 12 and"
    ):
        circuit_of(GRAPHS[0]) | circuit_of(GRAPHS[3])
    with pytest.raises(TypeError):
        circuit_of(GRAPHS[0]) | {"input->m0"}  # type: ignore[operator]


# views


def test_names_and_membership(graph: Graph) -> None:
    circuit = circuit_of(graph)
    assert Circuit.from_edges(graph, circuit.edges) == dataclasses.replace(circuit, scores=None)
    assert all(edge in circuit for edge in circuit.edges)
    assert sum(edge in circuit for edge in graph.edge_names(graph.edges_mask)) == circuit.n_edges
    assert 3 not in circuit
    with pytest.raises(CircuitError, match="not an edge"):
        assert "a0.h0" in circuit


def test_prune_drops_dead_ends() -> None:
    graph = GRAPHS[0]
    dead_end = Circuit.from_edges(graph, ["input->logits", "input->a0.h0<q>", "a1.h0->logits"])
    assert dead_end.prune().edges == ("input->logits",) and dead_end.n_edges == 3
    assert dead_end.prune().nodes == ("input", "logits")


def test_views_agree_with_the_mask(graph: Graph) -> None:
    circuit = circuit_of(graph)
    frame, network = circuit.to_frame(), circuit.to_networkx()
    assert len(frame) == graph.n_edges and frame["kept"].sum() == circuit.n_edges == network.number_of_edges()
    assert {name for _, _, name in network.edges(data="name")} == set(circuit.edges)


def test_repr_is_one_helpful_line() -> None:
    graph = Graph(4, 4, 128)
    circuit = Circuit.from_edges(graph, ["input->a0.h1<v>", "a0.h1->logits"], provenance=PROVENANCE)
    expected = "Circuit(2 of 479 edges, 3 nodes; 4 layers x 4 heads; ioi on acdc-small by acdc tau=0.01)"
    assert repr(circuit) == expected
    assert repr(dataclasses.replace(circuit, provenance={})) == "Circuit(2 of 479 edges, 3 nodes; 4 layers x 4 heads)"


def test_a_table_of_a_large_graph_lists_kept_edges_and_the_largest_scores(graph: Graph) -> None:
    circuit = circuit_of(graph)
    whole = circuit.to_frame()
    assert whole.equals(circuit.to_frame(most=graph.n_edges)) and len(whole) == graph.n_edges
    assert set(circuit.to_frame(most=0)["edge"]) == set(circuit.edges)
    most = min(circuit.n_edges + 3, graph.n_edges - 1)
    listed = circuit.to_frame(most=most)
    removed = whole[~whole["kept"]]
    largest = removed.sort_values("score", key=abs, ascending=False)["edge"][: most - circuit.n_edges]
    assert set(listed["edge"]) == {*circuit.edges, *largest} and len(listed) == most


def test_titles_name_models_not_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {
        str(tmp_path / "tuned"): "tuned",
        "./tuned/": "tuned",
        "a/b/tuned": "tuned",
        ".": tmp_path.name,
        "gpt2": "gpt2",
        "EleutherAI/pythia-70m": "EleutherAI/pythia-70m",
        "/cache/hub/models--EleutherAI--pythia-70m/snapshots/0123abc": "EleutherAI/pythia-70m",
    }
    for model, shown in names.items():
        provenance = {"task": f"{tmp_path}/my_task.py:Mine", "task_name": "mine", "model": model, "method": "acdc"}
        assert Circuit.from_edges(GRAPHS[0], [], provenance=provenance).origin == f"mine on {shown} by acdc"
