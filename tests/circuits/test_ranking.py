"""The strongest edges and nodes: the highest first, nested, ties in the graph's order or drawn."""

import math

import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.circuits.ranking import first_edges, n_tied, ranked_edges, strongest, strongest_nodes, top_edges
from tests.circuits.examples import circuit_of

GRAPH = Graph(2, 2, 8)


def random_scores(graph: Graph, seed: int = 0) -> torch.Tensor:
    scores = torch.randn(graph.n_src, graph.n_dst, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scores.masked_fill(~graph.edges_mask, math.nan)


@pytest.mark.parametrize("signed", [True, False])
def test_top_edges_are_the_highest_and_nested(signed: bool) -> None:
    scores = random_scores(GRAPH)
    values = scores if signed else scores.abs()
    order = sorted((-float(values[i, j]), i, j) for i, j in GRAPH.edges_mask.nonzero().tolist())
    for n in (-1, 0, 1, 7, GRAPH.n_edges, GRAPH.n_edges + 1):
        mask = top_edges(GRAPH, scores, n, signed=signed)
        assert {tuple(e) for e in mask.nonzero().tolist()} == {(i, j) for _, i, j in order[: max(n, 0)]}


def test_only_the_edges_asked_for_are_ranked() -> None:
    circuit, scores = circuit_of(GRAPH), random_scores(GRAPH)
    order = ranked_edges(GRAPH, scores, signed=False, among=circuit.mask)
    assert torch.equal(first_edges(GRAPH, order, len(order)), circuit.mask)
    sizes = scores.abs().flatten()[order]
    assert torch.equal(sizes, sizes.sort(descending=True).values)


def test_unmeasured_scores_rank_as_0_and_ties_by_place() -> None:
    graph = Graph(1, 2, 8)
    scores = torch.full((graph.n_src, graph.n_dst), math.nan)
    scores[graph.parse_edge("m0->logits")] = 1.0
    scores[graph.parse_edge("input->logits")] = -1.0
    assert graph.edge_names(top_edges(graph, scores, 1, signed=True)) == ["m0->logits"]
    assert graph.edge_names(top_edges(graph, scores, 2, signed=True)) == ["input->a0.h0<q>", "m0->logits"]
    assert "input->logits" not in graph.edge_names(top_edges(graph, scores, graph.n_edges - 1, signed=True))
    assert graph.edge_names(top_edges(graph, None, 1, signed=True)) == ["input->a0.h0<q>"]


def test_infinite_scores_come_first_and_last() -> None:
    scores = random_scores(GRAPH)
    scores[GRAPH.parse_edge("m0->logits")], scores[GRAPH.parse_edge("m1->logits")] = math.inf, -math.inf
    first, *_, last = (
        GRAPH.edge_name(*divmod(e, GRAPH.n_dst)) for e in ranked_edges(GRAPH, scores, signed=True).tolist()
    )
    assert (first, last) == ("m0->logits", "m1->logits")
    assert {name for name, _ in strongest(GRAPH, GRAPH.edges_mask, scores, 2)} == {"m0->logits", "m1->logits"}


def test_drawn_ties_are_seeded_and_change_the_order_among_equals_alone() -> None:
    scores = random_scores(GRAPH).round()
    plain, *drawn = (ranked_edges(GRAPH, scores, signed=True, ties=ties) for ties in (None, 0, 0, 1))
    values = scores.nan_to_num().flatten()
    assert all(
        torch.equal(values[plain], values[order]) and sorted(order.tolist()) == sorted(plain.tolist())
        for order in drawn
    )
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_a_size_that_cuts_a_tie_is_told_from_one_that_does_not() -> None:
    graph = Graph(1, 2, 8)
    scores = torch.zeros(graph.n_src, graph.n_dst)
    scores[graph.parse_edge("m0->logits")] = 2.0
    scores[graph.parse_edge("input->logits")] = -1.0
    equal = graph.n_edges - 2
    sizes = (0, 1, 2, equal, equal + 1, equal + 2)
    assert [n_tied(graph, scores, n, signed=True) for n in sizes] == [0, 0, equal, equal, 0, 0]
    assert n_tied(graph, scores, 2, signed=False) == 0


@pytest.mark.parametrize("scored", [True, False])
def test_the_strongest_kept_edges_stand_with_their_scores(scored: bool) -> None:
    circuit = circuit_of(GRAPH, scores=scored)
    listed = strongest(GRAPH, circuit.mask, circuit.scores, 5)
    assert len(listed) == 5 and {name for name, _ in listed} <= set(circuit.edges)
    if scored:
        assert all(score == circuit.scores[GRAPH.parse_edge(name)] for name, score in listed if not math.isnan(score))
        sizes = circuit.scores[circuit.mask].abs().nan_to_num().sort(descending=True).values[:5].tolist()
        assert [abs(score) if score == score else 0.0 for _, score in listed] == sizes
    else:
        assert [name for name, _ in listed] == list(circuit.edges[:5]) and all(math.isnan(score) for _, score in listed)


def test_nodes_rank_by_the_sizes_of_their_kept_outgoing_edges() -> None:
    kept = GRAPH.mask_of(["input->a0.h0<q>", "a0.h0->m0", "a0.h0->m1", "m0->logits", "m1->logits"])
    scores = torch.full(kept.shape, math.nan, dtype=torch.float64)
    for name, score in {
        "input->a0.h0<q>": 9,
        "a0.h0->m0": -1,
        "a0.h0->m1": 1,
        "m0->logits": 1.5,
        "a0.h1->m1": 8,
    }.items():
        scores[GRAPH.parse_edge(name)] = score
    assert strongest_nodes(GRAPH, kept, scores, 6) == ["a0.h0", "m0"], "not the input, nor what has no measured edge"
    assert strongest_nodes(GRAPH, kept, scores, 1) == ["a0.h0"]
    assert strongest_nodes(GRAPH, kept, kept.double(), 6) == ["a0.h0", "m0", "m1"]
