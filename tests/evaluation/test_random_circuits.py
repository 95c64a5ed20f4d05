"""Random circuits are what they are called, and every edge of theirs is on a path."""

import itertools
import random

import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.errors import ACDCError
from acdc.evaluation import degree_matched, inflated, random_path, size_matched

GRAPHS = [Graph(3, 2, 8), Graph(2, 3, 8, parallel=True)]


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_random_path_leads_from_input_to_logits(graph: Graph) -> None:
    rng, seen = random.Random(0), torch.zeros_like(graph.edges_mask)
    for _ in range(2000):
        path = random_path(graph, rng)
        assert path[0][0] == 0 and path[-1][1] == graph.n_dst - 1
        assert all(graph.src_of_dst[dst] == src for (_, dst), (src, _) in itertools.pairwise(path))
        for edge in path:
            seen[edge] = True
    assert torch.equal(seen, graph.edges_mask), "every edge can be drawn"


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("n_edges", [1, 5, 20, 45])
def test_size_matched_circuits_have_the_size_and_no_dangling_edge(graph: Graph, n_edges: int) -> None:
    rng = random.Random(1)
    drawn = [size_matched(graph, n_edges, rng) for _ in range(5)]
    for mask in drawn:
        graph.check_mask(mask)
        assert int(mask.sum()) == n_edges
        assert torch.equal(graph.prune(mask), mask)
    assert n_edges == 1 or any(not torch.equal(drawn[0], other) for other in drawn[1:])


@pytest.mark.parametrize("graph", GRAPHS)
def test_degree_matched_circuits_keep_every_degree(graph: Graph) -> None:
    rng = random.Random(2)
    mask = size_matched(graph, 25, rng)
    given, drawn = mask.clone(), degree_matched(graph, mask, rng)
    graph.check_mask(drawn)
    assert torch.equal(drawn.sum(0), mask.sum(0)) and torch.equal(drawn.sum(1), mask.sum(1))
    assert int((drawn & mask).sum()) < int(mask.sum()), "something moved"
    assert torch.equal(mask, given)


def test_an_inflated_circuit_is_the_circuit_and_a_path() -> None:
    graph, rng = GRAPHS[0], random.Random(3)
    mask = size_matched(graph, 10, rng)
    for _ in range(20):
        larger, added = inflated(graph, mask, rng)
        assert added and not any(mask[edge] for edge in added)
        assert int(larger.sum()) == int(mask.sum()) + len(added) and bool((larger | ~mask).all())
        assert torch.equal(graph.prune(larger), larger)
    with pytest.raises(ACDCError, match="nearly every edge"):
        inflated(graph, graph.edges_mask, rng)
