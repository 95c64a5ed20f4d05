"""Scores of nodes, lifted to their edges."""

import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.discovery.attribution.eap import eap
from acdc.discovery.attribution.eap_ig_inputs import eap_ig_inputs
from acdc.discovery.attribution.hisp import hisp
from acdc.discovery.attribution.nap import nap
from acdc.discovery.attribution.nap_ig import nap_ig
from acdc.discovery.attribution.nodes import lift
from acdc.patching.problem import Problem
from tests.discovery.attribution.problems import assert_same, problem_of


def test_lifted_scores_keep_the_edges_between_kept_nodes() -> None:
    graph = Graph(2, 2, 4)
    nodes = torch.randn(graph.n_src, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = lift(graph, nodes)
    for threshold in nodes.abs().tolist():
        kept = nodes.abs() >= threshold
        kept[0] = True
        ends = torch.tensor([src is None or bool(kept[src]) for src in graph.src_of_dst])
        expected = graph.edges_mask & kept[:, None] & ends[None, :]
        found = scores.abs() >= threshold
        if threshold <= float(nodes[1:].abs().max()):
            assert torch.equal(found, expected)


def test_nap_and_nap_ig_are_sums_over_a_node_s_edges() -> None:
    problem = problem_of("neox-parallel")
    graph = problem.model.graph
    assert_same(nap(problem).scores, lift(graph, eap(problem).scores.nansum(1)))
    for options in ({"deltas": "endpoint", "quadrature": "gauss-legendre"}, {}, {"quadrature": "random"}):
        edges = eap_ig_inputs(problem, steps=3, **options).scores
        assert_same(nap_ig(problem, steps=3, **options).scores, lift(graph, edges.nansum(1)))


@pytest.mark.parametrize("times", ["change", "activation"])
def test_hisp_is_the_mean_size_of_the_prompts_effects(times: str) -> None:
    problem = problem_of("neox-serial")
    ablation = "corrupt" if times == "change" else "zero"  # ablated - clean is then minus the activation
    alone = [
        Problem.make(problem.model, problem.batch.select([i]), metric="logit_diff", ablation=ablation)
        for i in range(problem.batch.n)
    ]
    expected = torch.stack([eap(one).scores.nansum(1).abs() for one in alone]).mean(0)
    assert_same(hisp(problem, times=times).scores, lift(problem.model.graph, expected))
    layers = expected[1:].view(problem.model.graph.n_layers, -1)
    by_layer = torch.cat([expected[:1], (layers / layers.norm(dim=1, keepdim=True)).flatten()])
    assert_same(hisp(problem, times=times, normalise=True).scores, lift(problem.model.graph, by_layer))
