"""Learned gates start all alike, or open by the rank of scores, wherever these come from."""

import math
from pathlib import Path

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.discovery.attribution.scorers import get_scorer
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.masks.edge_pruning import EdgeGates, edge_pruning
from acdc.discovery.masks.hard_concrete import p_open
from acdc.discovery.masks.start import OPEN, starting_log_odds, starting_scores
from acdc.discovery.masks.subnetwork_probing import NodeGates, subnetwork_probing
from acdc.errors import ACDCError, RunError
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.task import load_task
from acdc.zoo import zoo_path
from tests.tiny import tiny_batch, tiny_model

QUICK = {"steps": 12, "batch_size": 3}


def problem_of(family: str = "gpt2") -> Problem:
    return Problem.make(tiny_model(family), tiny_batch(), seed=5)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.999])
def test_the_expected_sparsity_is_the_one_asked_for_and_rises_with_the_rank(sparsity: float) -> None:
    sizes = torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = p_open(starting_log_odds(200, sizes, sparsity))
    assert float(p.mean()) == pytest.approx(1 - sparsity, abs=1e-3)
    assert bool((p[sizes.argsort()].diff() >= 0).all())
    assert bool(torch.isfinite(starting_log_odds(200, sizes, sparsity)).all())


def test_equal_scores_start_alike_and_no_score_is_as_none() -> None:
    start = starting_log_odds(6, torch.tensor([2.0, math.nan, 1.0, 2.0, 0.0, 1.0]).double(), 0.5)
    assert start[0] == start[3] > start[2] == start[5] > start[1] == start[4]


def test_without_scores_all_are_open_and_so_are_gates_beyond_the_ranked_ones() -> None:
    assert starting_log_odds(3, None, 0.9).tolist() == [OPEN] * 3
    start = starting_log_odds(5, torch.tensor([1.0, 2.0]).double(), 0.9)
    assert start[2:].tolist() == [OPEN] * 3 and bool((start[:2] < OPEN).all())


def test_the_size_of_an_edge_s_score_counts_and_a_node_s_is_the_sum_of_its_edges() -> None:
    graph = Graph(1, 2, 4)
    scores = torch.full(graph.edges_mask.shape, math.nan)
    scores[graph.edges_mask] = torch.linspace(-1, 0.9, graph.n_edges)
    found = EdgeScores(scores, "importance", {})
    torch.testing.assert_close(EdgeGates(graph).sizes(found), scores[graph.edges_mask].abs().double())
    of_nodes = NodeGates(graph).sizes(found)
    assert of_nodes is not None and len(of_nodes) == graph.n_src - 1
    for name, size in zip(("a0.h0", "a0.h1", "m0"), of_nodes.tolist(), strict=True):
        edges = [graph.parse_edge(edge) for edge in graph.edge_names(graph.edges_mask) if edge.startswith(f"{name}->")]
        assert size == pytest.approx(abs(sum(float(scores[edge]) for edge in edges)), rel=1e-5)


@pytest.mark.parametrize("search", [edge_pruning, subnetwork_probing])
def test_a_saved_run_s_scores_start_like_the_scorer_that_made_them(search, tmp_path: Path) -> None:
    problem, circuit = problem_of(), tmp_path / "circuit.json"
    scores = get_scorer("eap-ig-inputs")(problem)
    Circuit(problem.model.graph, problem.model.graph.edges_mask, scores.scores, {}, scores.kind).save(circuit)
    named = search(problem, start="eap-ig-inputs", **QUICK)
    for place in (circuit, tmp_path):
        found = search(problem, start=str(place), **QUICK)
        assert torch.equal(found.scores.nan_to_num(), named.scores.nan_to_num())
        assert found.cost["forward_passes"] == named.cost["forward_passes"] - scores.cost["forward_passes"]
    assert named.cost["steps"] == QUICK["steps"]
    cold = search(problem, **QUICK)
    assert not torch.equal(cold.scores.nan_to_num(), named.scores.nan_to_num())


def test_a_circuit_without_scores_or_of_another_model_is_refused(tmp_path: Path) -> None:
    problem, place = problem_of(), tmp_path / "circuit.json"
    Circuit(problem.model.graph, problem.model.graph.edges_mask).save(place)
    with pytest.raises(RunError, match="has no scores"):
        starting_scores(problem, str(place))
    with pytest.raises(ACDCError, match="doesn't fit a model"):
        starting_scores(problem_of("llama-gqa"), str(place))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_warm_start_recovers_the_compiled_circuit_in_fewer_steps(seed: int) -> None:
    model = PatchableModel.from_pretrained("induction-compiled")
    truth = Circuit.load(zoo_path("induction-compiled") / "circuit.json", graph=model.graph)
    problem = Problem.make(model, load_task("induction").batch(model.tokenizer, 12, seed), seed=seed)
    found = edge_pruning(problem, n_edges=5, steps=60, batch_size=12, start="eap-ig-inputs")
    assert model.graph.edge_names(found.mask) == list(truth.edges)
