"""The circuit as a value: immutability, equality, set algebra, names."""

import copy
import dataclasses
import importlib.util
import math
import pickle
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch

import acdc.circuits.circuit as circuit_module
from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError
from tests.circuits.examples import GRAPHS, PROVENANCE, circuit_of

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


# names


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


def test_repr_is_one_helpful_line() -> None:
    graph = Graph(4, 4, 128)
    circuit = Circuit.from_edges(graph, ["input->a0.h1<v>", "a0.h1->logits"], provenance=PROVENANCE)
    expected = "Circuit(2 of 479 edges, 3 nodes; 4 layers x 4 heads; ioi on acdc-small by acdc tau=0.01)"
    assert repr(circuit) == expected
    assert repr(dataclasses.replace(circuit, provenance={})) == "Circuit(2 of 479 edges, 3 nodes; 4 layers x 4 heads)"


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
