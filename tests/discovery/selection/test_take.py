"""n edges means n edges that lie on paths, the best that there are."""

import random
import time

import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.discovery.selection.take import take

GRAPHS = [Graph(1, 1, 4), Graph(2, 2, 4), Graph(2, 3, 4, parallel=True), Graph(3, 1, 4)]


def shuffled(graph: Graph, seed: int) -> torch.Tensor:
    edges = graph.edges_mask.flatten().nonzero()[:, 0].tolist()
    return torch.tensor(random.Random(seed).sample(edges, len(edges)))


def start(graph: Graph, order: torch.Tensor, n: int) -> torch.Tensor:
    mask = torch.zeros(graph.n_src * graph.n_dst, dtype=torch.bool)
    mask[order[:n]] = True
    return mask.view(graph.n_src, graph.n_dst)


@pytest.mark.parametrize("from_input", [True, False])
@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_every_size_is_met_by_edges_on_paths_alone(graph: Graph, from_input: bool) -> None:
    for seed in range(6):
        order = shuffled(graph, seed)
        for n in range(1, graph.n_edges + 1):
            found = take(graph, order, n, from_input=from_input)
            assert int(found.mask.sum()) == n
            assert torch.equal(graph.prune(found.mask, from_input=from_input), found.mask)
            pruned = graph.prune(start(graph, order, found.gone_through), from_input=from_input)
            assert int(pruned.sum()) >= n
            if int(pruned.sum()) == n:
                assert torch.equal(found.mask, pruned), "the start of the ranking, where its size is the one asked for"
            shorter = graph.prune(start(graph, order, found.gone_through - 1), from_input=from_input)
            assert int(shorter.sum()) < n
            lost = int((shorter & ~found.mask).sum())
            assert lost <= 1, "what is stronger stays, but for one edge that may make room where a node needs two"


def test_too_many_go_from_the_weakest_on() -> None:
    graph = Graph(1, 2, 4)
    names = ["a0.h0->m0", "m0->logits", "a0.h1->logits", "input->a0.h0<v>", "input->a0.h1<q>", "input->a0.h0<k>"]

    def taken(n: int) -> set[str]:
        return set(graph.edge_names(take(graph, order_of(graph, names), n).mask))

    assert taken(6) == set(names)
    assert taken(5) == {*names[:5]}, "two edges make one path, of which the start of four has none"
    assert taken(4) == {*names[:2], names[3], names[5]}, "the path through a0.h1 is two edges, of which one is too many"
    assert taken(3) == {*names[:2], names[3]}


def test_a_strong_edge_is_not_given_away_for_the_number() -> None:
    graph = Graph(2, 1, 4)
    names = ["input->logits", "input->m0", "m0->logits", "a0.h0->a1.h0<q>", "input->a0.h0<k>", "a1.h0->logits"]
    found = take(graph, order_of(graph, names), 5).mask
    assert set(names[:3]) <= set(graph.edge_names(found)), "three come at once, of which one is too many"


def order_of(graph: Graph, names: list[str]) -> torch.Tensor:
    return torch.tensor([src * graph.n_dst + dst for src, dst in map(graph.parse_edge, names)])


def test_a_choice_that_has_too_few_gives_all_that_it_has() -> None:
    graph = Graph(2, 2, 4)
    names = ["a0.h0->a1.h1<q>", "input->m0", "m0->logits", "input->a0.h1<k>", "a0.h1->m1"]
    order = order_of(graph, names)
    assert graph.edge_names(take(graph, order, 4).mask) == ["input->m0", "m0->logits"]
    assert graph.edge_names(take(graph, order, 4, from_input=False).mask) == ["input->m0", "m0->logits"]


@pytest.mark.parametrize("n", [1, 2, 200, 6_000])
def test_a_graph_of_a_hundred_thousand_edges_takes_seconds(n: int) -> None:
    graph = Graph(30, 9, 576)
    assert graph.n_edges > 120_000
    order, began = shuffled(graph, 0), time.process_time()
    assert int(take(graph, order, n).mask.sum()) == n
    assert time.process_time() - began < 10
