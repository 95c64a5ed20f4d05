"""Knock-outs, the certificate, completeness and minimality are what whole masked forwards say."""

import pytest
import torch

from acdc.discovery.acdc import acdc
from acdc.evaluation import certify, completeness, knock_out_edges, knock_out_nodes, minimality
from acdc.evaluation.knockouts import edges_of_node, inner_nodes
from acdc.metrics import METRICS
from tests.evaluation.ground import naive_loss, naive_values, problem_of, random_circuit, snapshot


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama-gqa", "qwen2-window"])
def test_every_edge_s_effect_is_that_of_one_masked_forward(family: str) -> None:
    problem = problem_of(family, "logit_diff" if family == "gpt2" else "kl")
    mask = random_circuit(problem, 0.5)
    found, loss = knock_out_edges(problem, mask), naive_loss(problem, mask)
    assert found.loss == pytest.approx(loss, abs=1e-9)
    for edge in mask.nonzero().tolist():
        trial = mask.clone()
        trial[tuple(edge)] = False
        assert float(found.effects[tuple(edge)]) == pytest.approx(naive_loss(problem, trial) - loss, abs=1e-9)
    assert bool(found.effects[~mask].isnan().all())


@pytest.mark.parametrize("metric", METRICS)
def test_every_node_s_effect_is_that_of_one_masked_forward(metric: str) -> None:
    problem = problem_of(metric=metric)
    mask = random_circuit(problem, 0.5)
    nodes = inner_nodes(problem, mask)
    effects, _ = knock_out_nodes(problem, mask, ["input", *nodes])
    for node, effect in effects.items():
        rest = mask & ~edges_of_node(problem, node)
        assert effect == pytest.approx(naive_loss(problem, rest) - naive_loss(problem, mask), abs=1e-9)


def test_memory_changes_no_effect() -> None:
    problem = problem_of("llama-gqa")
    mask = random_circuit(problem)
    one, many = (knock_out_edges(problem, mask, memory=memory).effects for memory in (1, 2**28))
    torch.testing.assert_close(one, many, atol=1e-10, rtol=0, equal_nan=True)


def test_a_dangling_edge_has_no_effect() -> None:
    problem = problem_of()
    graph = problem.model.graph
    mask = graph.mask_of(["input->logits", "input->m0"])
    assert float(knock_out_edges(problem, mask).effects[graph.parse_edge("input->m0")]) == 0


def test_the_certificate_is_issued_for_a_circuit_that_no_edge_can_leave() -> None:
    problem, tau = problem_of(), 0.03
    minimal, single = (acdc(problem, tau=tau, sweeps=sweeps, prune=False).mask for sweeps in (0, 1))
    found = certify(problem, minimal, tau)
    assert found.holds and not found.failing and found.least_effect >= tau
    assert found.n_edges == int(minimal.sum()) and found.n_prompts == problem.batch.n
    raised = certify(problem, minimal, found.least_effect * 1.001)
    assert raised.failing == (found.weakest,), "the weakest edge alone falls short of a little more"
    once = certify(problem, single, tau)
    assert once.holds == (not once.failing)
    assert set(once.failing) == {name for name, effect in once.effects.items() if effect < tau}


def test_an_edge_that_hurts_fails_the_signed_certificate_and_passes_the_absolute_one() -> None:
    problem = problem_of(metric="logit_diff")
    mask = random_circuit(problem, 0.7)
    effects = certify(problem, mask).effects
    harmful = min(effects, key=effects.__getitem__)
    tau = -effects[harmful] / 2
    assert tau > 0
    assert harmful in certify(problem, mask, tau).failing
    assert harmful not in certify(problem, mask, tau, absolute=True).failing


def test_without_a_tau_the_certificate_only_measures() -> None:
    problem = problem_of()
    found = certify(problem, random_circuit(problem))
    assert found.holds is None and not found.failing and found.weakest is not None
    empty = certify(problem, torch.zeros_like(problem.model.graph.edges_mask), 0.1)
    assert empty.holds and empty.weakest is None and empty.effects == {}


def test_the_whole_model_is_complete() -> None:
    problem = problem_of()
    found = completeness(problem, problem.model.graph.edges_mask, n_sets=5)
    assert found.worst == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("metric", ["kl", "logit_diff"])
def test_completeness_is_its_definition(metric: str) -> None:
    problem = problem_of(metric=metric)
    mask, whole = random_circuit(problem, 0.6), problem.model.graph.edges_mask
    found = completeness(problem, mask, n_sets=4, greedy_steps=3)
    assert found.worst == max(damage.gap for damage in found.damages)
    for damage in found.damages:
        gone = torch.zeros_like(mask)
        for node in damage.removed:
            gone |= edges_of_node(problem, node)
        circuit, model = (float(naive_values(problem, graph & ~gone).mean()) for graph in (mask, whole))
        assert damage.circuit == pytest.approx(circuit, abs=1e-9) and damage.model == pytest.approx(model, abs=1e-9)
        assert damage.gap == pytest.approx(abs(circuit - model), abs=1e-9)
    greedy = [damage for damage in found.damages if damage.found == "greedy"]
    assert sorted(len(damage.removed) for damage in greedy) == [1, 2, 3]
    steps = found.forward_passes - 2 - 2 * (1 + 4)
    assert steps == 2 * sum(min(10, len(inner_nodes(problem, mask)) - i) for i in range(3)), "every pass is counted"


def test_minimality_finds_what_is_needed_only_when_another_is_away() -> None:
    problem = problem_of()
    mask = random_circuit(problem, 0.7)
    found = minimality(problem, mask, n_sets=3, seed=1)
    alone = knock_out_edges(problem, mask).effects
    for name, need in found.edges.items():
        assert need.alone == pytest.approx(float(alone[problem.model.graph.parse_edge(name)]), abs=1e-9)
        assert need.largest >= abs(need.alone) - 1e-12
    assert set(found.edges) == set(problem.model.graph.edge_names(mask))
    some = [(node, need) for node, need in found.nodes.items() if need.removed]
    assert some, "no set of nodes matters: that tests little"
    for node, need in some:
        rest = mask.clone()
        for other in need.removed:
            rest &= ~edges_of_node(problem, other)
        change = naive_loss(problem, rest & ~edges_of_node(problem, node)) - naive_loss(problem, rest)
        assert need.largest == pytest.approx(abs(change), abs=1e-9)


def test_nothing_is_changed() -> None:
    problem = problem_of("llama-gqa")
    mask = random_circuit(problem)
    before, given = snapshot(problem), mask.clone()
    certify(problem, mask, 0.1)
    completeness(problem, mask, n_sets=2, greedy_steps=1)
    minimality(problem, mask, n_sets=1)
    assert torch.equal(mask, given)
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(problem), strict=True))


def test_what_is_drawn_is_drawn_by_the_seed() -> None:
    problem = problem_of()
    mask = random_circuit(problem)
    one, again, other = (completeness(problem, mask, n_sets=3, greedy_steps=1, seed=seed) for seed in (1, 1, 2))
    assert one == again and one.damages != other.damages
