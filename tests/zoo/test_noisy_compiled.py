"""Compiled models with noise, whose true circuits have an OR, edges that work against the answer, or a deep chain."""

from itertools import combinations

import compile_chain
import compile_either
import compile_suppression
import pytest
import torch
from margins import largest_effects
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.discovery.acdc import acdc
from acdc.evaluation.knockouts import knock_out_edges
from acdc.patching.problem import Problem
from acdc.task import load_task
from acdc.zoo import zoo_path
from tests.zoo.compiled import assert_shipped_as_made, problem_of, truth_of

SCRIPTS = {script.model().name: script for script in (compile_either, compile_suppression, compile_chain)}
AGAINST = ("input->a2.h1<k>", "input->a2.h1<v>", "a1.h2->a2.h1<q>", "a2.h1->logits")  # of suppression-compiled
PATHS = {  # of either-compiled
    node: (f"input->{node}<v>", f"a0.h1->{node}<k>", f"{node}->m1") for node in compile_either.model().backups
}


def loss_of(problem: Problem, mask: Tensor) -> float:
    return problem.loss(problem.logits(mask))


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_shipped_model_is_what_its_script_makes(name: str) -> None:
    assert_shipped_as_made(name, SCRIPTS[name])
    assert sum(path.stat().st_size for path in zoo_path(name).iterdir()) < 2e6


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_sure_of_every_answer(name: str) -> None:
    problem = problem_of(name)
    assert problem.clean.logits.softmax(-1).gather(1, problem.batch.correct).min() > 0.9


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(("metric", "least", "most"), [("logit_diff", 4, 1), ("kl", 0.01, 0.005)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_true_edge_changes_far_more_than_any_other(
    name: str, metric: str, least: float, most: float, seed: int
) -> None:
    """Exact knock-outs of every edge alone: in the whole model, and where each backup is left alone."""
    problem, truth = problem_of(name, seed, "float64", metric, n=8), truth_of(name).mask
    effects = largest_effects(problem, SCRIPTS[name].model().backups)
    assert effects[truth].min() > least
    assert effects[problem.model.graph.edges_mask & ~truth].max() < most


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_true_circuit_alone_does_as_the_model_does(name: str) -> None:
    """With any of the other edges beside it too."""
    problem, truth = problem_of(name, 2, "float64"), truth_of(name).mask
    generator = torch.Generator().manual_seed(0)
    for share in (0.0, 0.2, 0.5, 0.8):
        others = problem.model.graph.edges_mask & (torch.rand(truth.shape, generator=generator) < share)
        assert loss_of(problem, truth | others) < 0.02


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_other_edges_alone_do_nothing(name: str) -> None:
    problem, truth = problem_of(name, 2, "float64", "logit_diff"), truth_of(name).mask
    others = problem.model.graph.edges_mask & ~truth
    assert loss_of(problem, others) == pytest.approx(problem.empty_loss, rel=0.05)


def smallest_circuits(graph: Graph, problem: Problem, edges: list[str], most: float) -> list[set[str]]:
    """All sets of these edges whose loss is below `most` and none of whose parts' is."""
    found = list[set[str]]()
    for size in range(len(edges) + 1):
        for chosen in combinations(edges, size):
            if not any(part <= set(chosen) for part in found) and loss_of(problem, graph.mask_of(chosen)) < most:
                found.append(set(chosen))
    return found


def test_just_two_circuits_are_enough_by_the_or_and_the_truth_is_both() -> None:
    """All 256 sets of true edges are run."""
    name = "either-compiled"
    problem, truth = problem_of(name), truth_of(name)
    shared = {"input->a0.h1<v>", "m1->logits"}
    found = smallest_circuits(problem.model.graph, problem, list(truth.edges), most=1)
    assert sorted(map(sorted, found)) == sorted(sorted(shared | set(path)) for path in PATHS.values())
    assert set().union(*found) == set(truth.edges)


def test_noising_one_path_of_the_or_changes_nothing() -> None:
    problem = problem_of("either-compiled", dtype="float64")
    graph = problem.model.graph
    for path in PATHS.values():
        assert loss_of(problem, graph.edges_mask & ~graph.mask_of(path)) < 1e-3
    assert loss_of(problem, graph.edges_mask & ~graph.mask_of([e for path in PATHS.values() for e in path])) > 10


@pytest.mark.parametrize("seed", [0, 1])
def test_four_edges_work_against_the_answer_and_five_for_it(seed: int) -> None:
    name = "suppression-compiled"
    problem = problem_of(name, seed, "float64", "logit_diff", n=8)
    effects = knock_out_edges(problem, problem.model.graph.edges_mask).effects
    for edge in truth_of(name).edges:
        rise = float(effects[problem.model.graph.parse_edge(edge)])
        assert rise < -5 if edge in AGAINST else rise > 5


@pytest.mark.parametrize("seed", [0, 1])
def test_the_chain_of_queries_is_four_heads_long_and_each_edge_of_it_is_needed(seed: int) -> None:
    name = "chain-compiled"
    problem, truth = problem_of(name, seed, "float64", n=8), truth_of(name)
    graph, hops = problem.model.graph, compile_chain.HOPS
    queries = {f"{before}->{head}<q>" for before, head in zip(("input", *hops), hops, strict=False)}
    keys = {f"a0.h2->{head}<k>" for head in hops}
    assert len(queries) == len(keys) == load_task("chain").hops
    assert queries | keys <= set(truth.edges)
    effects = knock_out_edges(problem, graph.edges_mask).effects
    assert effects[truth.mask].min() > 1, "nats, on average over the prompts"


@pytest.mark.parametrize("seed", [0, 1])
def test_acdc_finds_one_path_of_the_or(seed: int) -> None:
    found = acdc(problem_of("either-compiled", seed), tau=0.1, sweeps=0)
    edges = set(problem_of("either-compiled").model.graph.edge_names(found.mask))
    assert edges in [{"input->a0.h1<v>", "m1->logits", *path} for path in PATHS.values()]


@pytest.mark.parametrize("absolute", [True, False])
def test_acdc_removes_what_works_against_the_answer_unless_sizes_count(absolute: bool) -> None:
    name = "suppression-compiled"
    found = acdc(problem_of(name, metric="logit_diff"), tau=1.0, absolute=absolute, sweeps=0)
    wanted = set(truth_of(name).edges) - (set() if absolute else set(AGAINST))
    assert set(problem_of(name).model.graph.edge_names(found.mask)) == wanted


def test_acdc_finds_the_whole_chain() -> None:
    found = acdc(problem_of("chain-compiled"), tau=0.1, sweeps=0)
    assert problem_of("chain-compiled").model.graph.edge_names(found.mask) == list(truth_of("chain-compiled").edges)
