"""The hypothesis tests on circuits, where the answer is known."""

import random

import numpy as np
import pytest
import torch

from acdc.errors import ACDCError
from acdc.evaluation import (
    equivalence_test,
    independence_test,
    inflated,
    knock_out_edges,
    minimality_test,
    outcomes_of,
    sufficiency_test,
)
from tests.evaluation.ground import naive_loss, naive_values, problem_of, random_circuit, snapshot


def test_the_whole_model_ties_with_itself() -> None:
    problem = problem_of(n=40)
    found = equivalence_test(problem, outcomes_of(problem, problem.model.graph.edges_mask))
    assert (
        found.ties == 40
        and found.p_differs == 1
        and found.p_equivalent == pytest.approx(0.6**40 * 0 + found.p_equivalent)
    )
    assert found.p_equivalent < 0.15


def test_the_corrupted_run_loses_where_the_model_is_better() -> None:
    problem = problem_of(metric="nll", n=30)
    outcomes = outcomes_of(problem, torch.zeros_like(problem.model.graph.edges_mask))
    found, nll = equivalence_test(problem, outcomes), outcomes.values["nll"]
    assert found.wins == int((nll["circuit"] < nll["model"]).sum()), "lower is better"


def test_the_empty_circuit_s_complement_follows_the_model() -> None:
    problem = problem_of(n=30)
    full = problem.model.graph.edges_mask
    assert independence_test(problem, outcomes_of(problem, torch.zeros_like(full)), permutations=200).p < 0.02
    corrupted = outcomes_of(problem, full)
    expected = corrupted.values["logit_diff"]
    np.testing.assert_allclose(expected["complement"], expected["corrupted"], atol=1e-10)


def test_the_minimality_test_compares_with_added_edges() -> None:
    problem = problem_of()
    graph, mask = problem.model.graph, random_circuit(problem, 0.4, seed=1)
    found = minimality_test(problem, mask, knock_out_edges(problem, mask).effects, n_random=30, seed=7)
    rng, expected = random.Random("minimality 7"), []
    for _ in range(30):
        larger, added = inflated(graph, mask, rng)
        without = larger.clone()
        without[rng.choice(added)] = False
        expected.append(naive_loss(problem, without) - naive_loss(problem, larger))
    assert found.random_effects == pytest.approx(expected, abs=1e-9)
    assert set(found.edges) == set(graph.edge_names(mask)) and found.forward_passes == 60
    for test in found.edges.values():
        assert test.share == pytest.approx(np.mean([effect < test.effect for effect in expected]), abs=0.02)
        assert test.verdict in ("needed", "redundant", "undecided")


def test_a_dead_edge_is_redundant_and_a_vital_one_needed() -> None:
    """A path that carries all of the metric, beside edges that change nothing."""
    problem = problem_of()
    graph, mask = problem.model.graph, random_circuit(problem, 0.5)
    names, effects = graph.edge_names(mask), torch.full(mask.shape, torch.nan, dtype=torch.float64)
    for edge in mask.nonzero().tolist():
        effects[tuple(edge)] = -1e3
    effects[graph.parse_edge(names[0])] = 1e3
    found = minimality_test(problem, mask, effects, n_random=80)
    assert found.named("needed") == (names[0],)
    assert set(found.named("redundant")) == set(names[1:])


def test_sufficiency_compares_distances_to_the_model() -> None:
    problem = problem_of()
    small = random_circuit(problem, 0.3, seed=3)
    found = sufficiency_test(problem, small, n_random=20)
    model = problem.clean.logits
    values = naive_values(problem, small)
    reference = problem.objective.metric.function(model, problem.batch.correct, problem.batch.wrong, model)
    assert found.distance == pytest.approx(float((values - reference).abs().mean()), abs=1e-9)
    assert found.random_edges == int(small.sum()) and len(found.random_distances) == 20
    share = np.mean([found.distance < distance for distance in found.random_distances])
    assert found.test.share == pytest.approx(share, abs=0.03)
    with pytest.raises(ACDCError, match="size or degree"):
        sufficiency_test(problem, small, matched="weight")


def test_degree_matching_keeps_the_number_of_edges() -> None:
    problem = problem_of()
    mask = random_circuit(problem, 0.4)
    found = sufficiency_test(problem, mask, matched="degree", n_random=5)
    assert found.matched == "degree" and found.random_edges <= int(mask.sum())


def test_the_tests_change_nothing_and_follow_the_seed() -> None:
    problem = problem_of()
    mask, before = random_circuit(problem, 0.4), snapshot(problem)
    given = mask.clone()
    one, again, other = (sufficiency_test(problem, mask, n_random=5, seed=seed) for seed in (1, 1, 2))
    assert one == again and one.random_distances != other.random_distances
    assert torch.equal(mask, given)
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(problem), strict=True))
