"""Evidence of circuits whose edges are split by span."""

import random

import pytest
import torch

from acdc.evaluation.areas import corrected_areas
from acdc.evaluation.curves import areas, curve
from acdc.evaluation.knockouts import edges_of_node, inner_nodes, knock_out_edges, knock_out_nodes
from acdc.evaluation.random_circuits import degree_matched, random_path, size_matched
from acdc.evaluation.specification import GRANULARITIES
from acdc.patching.problem import Problem
from tests.oracle import naive_logits
from tests.tiny import split_batch, tiny_model


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem.make(tiny_model("gpt2"), split_batch(), metric="nll")


@pytest.fixture(scope="module")
def mask(problem: Problem) -> torch.Tensor:
    drawn = torch.rand(problem.graph.edges_mask.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    return problem.prune(problem.graph.edges_mask & drawn)


def loss_of(problem: Problem, mask: torch.Tensor) -> float:
    return problem.loss(naive_logits(problem.model, problem.batch, problem.ablated.outputs, mask))


def test_knock_outs_are_the_oracle_s(problem: Problem, mask: torch.Tensor) -> None:
    whole, found = loss_of(problem, mask), knock_out_edges(problem, mask)
    for edge in mask.nonzero().tolist()[::17]:
        without = mask.clone()
        without[tuple(edge)] = False
        assert float(found.effects[tuple(edge)]) == pytest.approx(loss_of(problem, without) - whole, abs=1e-10)
    nodes = inner_nodes(problem, mask)
    assert nodes and all("@" in node and not node.startswith(("input", "logits")) for node in nodes)
    effects, _ = knock_out_nodes(problem, mask, nodes)
    for node in nodes[::3]:
        without = mask & ~edges_of_node(problem, node)
        assert effects[node] == pytest.approx(loss_of(problem, without) - whole, abs=1e-10)


def test_random_circuits_lie_on_paths_and_stay_in_their_spans(problem: Problem, mask: torch.Tensor) -> None:
    graph, rng = problem.graph, random.Random(0)
    for _ in range(20):
        path = torch.zeros_like(mask)
        path[tuple(zip(*random_path(graph, rng), strict=True))] = True
        assert torch.equal(graph.prune(path), path)
    drawn = size_matched(graph, 40, rng)
    assert int(drawn.sum()) == 40 and torch.equal(graph.prune(drawn), drawn)
    swapped = degree_matched(graph, mask, rng)
    assert not torch.equal(swapped, mask) and not bool((swapped & ~graph.edges_mask).any())
    for each in (swapped, mask):
        assert torch.equal(graph.by_span(each).sum(1), graph.by_span(mask).sum(1))
        assert torch.equal(each.sum(0), mask.sum(0))


def test_a_curve_ends_at_the_whole_model_though_some_edges_lie_on_no_path(problem: Problem) -> None:
    graph = problem.graph
    assert int(problem.prune(graph.edges_mask).sum()) < graph.n_edges
    scores = torch.rand(graph.edges_mask.shape, generator=torch.Generator().manual_seed(1)).double()
    found = curve(problem, scores, complement=False)
    assert areas(found, found)["corrected"]["nll"].keys() == {"cpr", "cmd"}
    assert corrected_areas([0, 2], [0.0, 1.0], 2)[0] == pytest.approx(0.5)


def test_whole_nodes_are_sites(problem: Problem) -> None:
    graph = problem.graph
    mask = graph.mask_of(["a0.h0->m0@name", "m0->logits@end"])
    kept = graph.edge_names(GRANULARITIES["whole nodes"](graph, mask))
    assert {graph.site_of(*name.split("->")) for name in kept} == {"a0.h0@name", "m0@end"}
