"""Searches and scorers with edges split by span: they equal the oracle, and splitting loses nothing."""

import math

import pytest
import torch

from acdc.discovery.acdc import acdc
from acdc.discovery.attribution.atp_star import atp_star
from acdc.discovery.attribution.eap import at_clean, eap
from acdc.discovery.attribution.exact import exact
from acdc.discovery.attribution.nap import nap
from acdc.discovery.attribution.scorers import get_scorer
from acdc.discovery.hap import hap
from acdc.discovery.masks.edge_pruning import edge_pruning
from acdc.discovery.masks.subnetwork_probing import subnetwork_probing
from acdc.discovery.order import edge_order
from acdc.discovery.selection.by_size import greedy_order
from acdc.discovery.selection.take import take
from acdc.patching.gradient.attribution import node_effects
from acdc.patching.problem import Problem
from tests.cases import covering
from tests.oracle import ablated_sources, naive_acdc, naive_head, naive_logits
from tests.patching.test_spans import random_split
from tests.patching.test_weighted import loss_and_gradient
from tests.tiny import split_batch, tiny_batch, tiny_model


def problem_of(family: str = "gpt2", *, split: bool = True, metric: str = "nll") -> Problem:
    return Problem.make(tiny_model(family), split_batch() if split else tiny_batch(), metric=metric)


@pytest.mark.parametrize(("family", "tau"), [("gpt2", 0.02), ("llama-gqa", 0.1), ("neox-parallel", 0.05)])
def test_acdc_equals_the_oracle(family: str, tau: float) -> None:
    problem = problem_of(family, metric="kl")
    order = edge_order(problem.graph)
    assert sorted(order) == sorted((i, j) for i, j in problem.graph.edges_mask.nonzero().tolist())
    found = acdc(problem, tau=tau, prune=False)
    mask, _ = naive_acdc(
        problem.model, problem.batch, problem.ablated.outputs, problem.objective.metric, tau, order=order
    )
    assert torch.equal(found.mask, mask) and 0 < int(mask.sum()) < problem.graph.n_edges
    assert torch.equal(acdc(problem, tau=tau).mask, problem.prune(mask))


@pytest.mark.parametrize(("family", "tau"), [("gpt2", 0.03), ("llama-gqa", 0.1)])
def test_hap_s_circuit_is_minimal_by_the_oracle_and_its_losses_are_the_oracle_s(family: str, tau: float) -> None:
    """Each kept edge, at its span, is taken out of a naive masked forward."""
    problem = problem_of(family, metric="kl")
    found = hap(problem, tau=tau)
    assert found.guarantees["minimal_at_tau"] and torch.equal(found.mask, problem.prune(found.mask))

    def loss(mask: torch.Tensor) -> float:
        return problem.loss(naive_logits(problem.model, problem.batch, problem.ablated.outputs, mask))

    whole, kept = loss(found.mask), found.mask.nonzero().tolist()
    assert problem.loss(problem.logits(found.mask)) == pytest.approx(whole, abs=1e-10)
    assert 0 < len(kept) < problem.graph.n_edges
    for edge in kept:
        without = found.mask.clone()
        without[tuple(edge)] = False
        rise = loss(without) - whole
        assert rise >= tau - 1e-7 and float(found.scores[tuple(edge)]) == pytest.approx(rise, abs=1e-7)


LINEAR = [
    ("eap", {}),
    ("eap", {"rules": "gim"}),
    ("eap-ig-inputs", {"steps": 3}),
    ("eap-ig-inputs", {"steps": 3, "deltas": "endpoint"}),
    ("eap-ig-activations", {"steps": 3}),
    ("eap-ig-activations", {"steps": 2, "paths": "all"}),
    ("atp-star", {"qk_fix": False, "graddrop": False}),
]


@pytest.mark.parametrize(("scorer", "memory"), covering(LINEAR, [2**30, 1]))
def test_a_linear_score_s_sum_over_spans_is_the_whole_edge_s(scorer: tuple[str, dict], memory: int) -> None:
    name, options = scorer
    whole, split = (problem_of("llama-gqa", split=split) for split in (False, True))
    scores = [get_scorer(name)(problem, memory=memory, **options).scores for problem in (whole, split)]
    summed = split.graph.by_span(scores[1]).nansum(-1)
    torch.testing.assert_close(summed, scores[0].nan_to_num(0.0), atol=1e-10, rtol=0)
    assert torch.equal(scores[1].isnan(), ~split.graph.edges_mask)


@pytest.mark.parametrize("family", ["gpt2", "olmo2"])
def test_eap_is_the_mask_s_gradient_at_each_span(family: str) -> None:
    problem = problem_of(family)
    gradient = loss_and_gradient(problem, problem.graph.edges_mask.double())[1]
    torch.testing.assert_close(eap(problem).scores.nan_to_num(0.0), -gradient, atol=1e-10, rtol=0)


def test_exact_effects_are_the_oracle_s() -> None:
    problem = problem_of()
    scores = exact(problem).scores
    for seed in range(12):
        edges = problem.graph.edges_mask.nonzero()
        src, dst = edges[(seed * 131) % len(edges)].tolist()
        mask = problem.graph.edges_mask.clone()
        mask[src, dst] = False
        logits = naive_logits(problem.model, problem.batch, problem.ablated.outputs, mask)
        assert float(scores[src, dst]) == pytest.approx(problem.loss(logits) - problem.model_loss, abs=1e-10)


def test_nodes_are_scored_at_each_span() -> None:
    whole, split = problem_of(split=False), problem_of()
    effects = [node_effects(problem, at_clean) for problem in (whole, split)]
    n = split.graph.n_spans
    torch.testing.assert_close(effects[1].unflatten(1, (-1, n)).sum(-1), effects[0], atol=1e-12, rtol=0)
    sites, scores = effects[1].mean(0), nap(split).scores
    outgoing = split.graph.by_span(eap(split).scores).nansum(1).flatten()
    torch.testing.assert_close(sites, outgoing, atol=1e-10, rtol=0)
    src, dst = split.graph.parse_edge("a0.h0->m0@name")
    ends = sites[split.graph.site(src, dst)], sites[split.graph.site(split.graph.mlp_src(0), dst)]
    assert float(scores[src, dst]) == pytest.approx(float(min(ends, key=abs)), abs=1e-12)


@pytest.mark.parametrize("kind", ["q", "k"])
def test_atp_star_runs_a_head_again_without_its_edge_at_one_span(kind: str) -> None:
    problem = problem_of("llama-gqa")
    graph, batch, model, layer, h = problem.graph, problem.batch, problem.model, 1, 1
    scores = atp_star(problem, graddrop=False).scores
    clean, ablated = (ablated_sources(model, outputs) for outputs in (problem.clean.outputs, problem.ablated.outputs))
    block, x = model.components.blocks[layer], problem.clean.resid_pre[layer]
    normed = dict.fromkeys("qkv", block.ln1(x))
    before = naive_head(model, batch, layer, h, *normed.values())
    gradient = _gradient_of_head(problem, f"a{layer}.h{h}")
    for span, name in enumerate(graph.spans):
        for src in ("input", "m0"):
            here = (batch.span_ids == span)[..., None]
            moved = block.ln1(x + torch.where(here, ablated[src] - clean[src], 0))
            change = naive_head(model, batch, layer, h, *(normed | {kind: moved}).values()) - before
            score = scores[graph.parse_edge(f"{src}->a{layer}.h{h}<{kind}>@{name}")]
            assert float(score) == pytest.approx(float((change * gradient).detach().sum()) / batch.n, abs=1e-10)


def _gradient_of_head(problem: Problem, head: str) -> torch.Tensor:
    """`∂ Σ loss / ∂out` of a head in the last layer, through its layer's MLP and the logits."""
    model, batch = problem.model, problem.batch
    layer = model.graph.layer_of(head)
    assert layer == model.graph.n_layers - 1
    nudge = torch.zeros_like(problem.clean.final).requires_grad_()
    block, x = model.components.blocks[layer], problem.clean.resid_mid[layer] + nudge
    logits = model.unembed((x + block.mlp(block.ln2(x)))[:, -1])
    metric = problem.objective.metric
    loss = metric.loss(metric.function(logits, batch.correct, batch.wrong, problem.clean.logits).sum())
    return torch.autograd.grad(loss, nudge)[0]


@pytest.mark.parametrize("name", ["hisp", "nap-ig", "ifr", "random", "degree-matched"])
def test_every_scorer_scores_every_edge(name: str) -> None:
    problem = problem_of()
    scores = get_scorer(name)(problem).scores
    assert torch.equal(scores.isnan(), ~problem.graph.edges_mask)
    if name == "ifr":
        sums = scores.nansum(0)[problem.graph.edges_mask.any(0)]
        torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-10, rtol=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("from_input", [True, False])
def test_taken_edges_lie_on_paths(seed: int, from_input: bool) -> None:
    graph = problem_of().graph
    scores = torch.rand(graph.edges_mask.shape, generator=torch.Generator().manual_seed(seed))
    order = scores.masked_fill(~graph.edges_mask, -math.inf).flatten().argsort(descending=True)
    order = order[: graph.n_edges]
    for n in (1, 2, 7, 30, 90):
        mask = take(graph, order, n, from_input=from_input).mask
        assert int(mask.sum()) == n and torch.equal(graph.prune(mask, from_input=from_input), mask)


def test_a_greedy_order_adds_edges_into_what_is_held() -> None:
    problem = problem_of()
    graph = problem.graph
    order = greedy_order(graph, torch.rand(graph.edges_mask.shape), graph.edges_mask)
    reaching = graph.prune(graph.edges_mask, from_input=False)
    assert len(order) == int(reaching.sum()) == len(set(order.tolist())) < graph.n_edges
    mask = torch.zeros(graph.n_src * graph.n_dst, dtype=torch.bool)
    for n in (1, 5, 20, 60):
        mask[order[:n]] = True
        assert torch.equal(graph.prune(mask.view(graph.n_src, -1), from_input=False).flatten(), mask)


def test_learned_masks_have_a_gate_for_each_span() -> None:
    problem = problem_of(metric="kl")
    options = {"steps": 4, "batch_size": 4}
    found = edge_pruning(problem, n_edges=60, node_sparsity=0.3, **options)
    assert int(found.mask.sum()) == 60 and torch.equal(problem.prune(found.mask), found.mask)
    assert torch.equal(found.scores.isnan(), ~problem.graph.edges_mask)
    nodes = subnetwork_probing(problem, n_nodes=6, **options)
    writing = problem.graph.by_span(nodes.mask).any(1)[1:]
    assert 0 < int(writing.sum()) <= 6 and 0 < int(nodes.mask.sum()) < problem.graph.n_edges


def test_a_random_mask_s_loss_is_the_same_in_all_engines() -> None:
    problem = problem_of("gemma2")
    mask = random_split(problem, 0.5)
    naive = problem.loss(naive_logits(problem.model, problem.batch, problem.ablated.outputs, mask))
    assert problem.loss(problem.logits(mask)) == pytest.approx(naive, abs=1e-10)
