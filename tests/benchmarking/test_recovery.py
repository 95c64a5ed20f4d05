"""Agreement with a known circuit, against brute force; and that nothing which isn't an edge counts."""

import math
import random

import pytest
import torch

from acdc.benchmarking.recovery import auc, compare, strongest
from acdc.errors import CircuitError
from acdc.graph import Graph

GRAPH = Graph(n_layers=2, n_heads=2, d_model=8)


def random_truth(seed: int, n: int = 6) -> torch.Tensor:
    edges = GRAPH.edges_mask.nonzero().tolist()
    mask = torch.zeros_like(GRAPH.edges_mask)
    for i, j in random.Random(seed).sample(edges, n):
        mask[i, j] = True
    return mask


def slow_auc(ranking: torch.Tensor, truth: torch.Tensor) -> float:
    """How often a true edge is above another one, over all such pairs."""
    edges = [tuple(edge) for edge in GRAPH.edges_mask.nonzero().tolist()]
    value = {edge: -math.inf if math.isnan(ranking[edge]) else float(ranking[edge]) for edge in edges}
    pairs = [(a, b) for a in edges for b in edges if truth[a] and not truth[b]]
    return sum((value[a] > value[b]) + 0.5 * (value[a] == value[b]) for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(4))
def test_auc_is_the_share_of_pairs_in_order(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ranking = torch.randint(4, (GRAPH.n_src, GRAPH.n_dst), generator=generator).double()  # with ties
    ranking[torch.rand(ranking.shape, generator=generator) < 0.2] = math.nan
    truth = random_truth(seed)
    assert auc(GRAPH, ranking, truth) == pytest.approx(slow_auc(ranking, truth), abs=1e-12)


def test_auc_of_the_truth_of_its_opposite_and_of_no_opinion() -> None:
    truth = random_truth(0)
    assert auc(GRAPH, truth.double(), truth) == 1
    assert auc(GRAPH, -truth.double(), truth) == 0
    assert auc(GRAPH, torch.zeros_like(truth).double(), truth) == 0.5
    assert auc(GRAPH, torch.full_like(truth, math.nan, dtype=torch.float64), truth) == 0.5


def test_what_is_no_edge_changes_nothing() -> None:
    truth, ranking = random_truth(1), torch.rand(GRAPH.n_src, GRAPH.n_dst, dtype=torch.float64)
    elsewhere = ranking.masked_fill(~GRAPH.edges_mask, 1e9)
    assert auc(GRAPH, elsewhere, truth) == auc(GRAPH, ranking, truth)
    assert torch.equal(strongest(GRAPH, elsewhere, 7, truth), strongest(GRAPH, ranking, 7, truth))


@pytest.mark.parametrize("which", ["found", "truth"])
def test_a_mask_that_keeps_what_is_no_edge_is_refused(which: str) -> None:
    masks = {"found": random_truth(1), "truth": random_truth(2)}
    masks[which][-1, 0] = True  # the last MLP into the first head
    with pytest.raises(CircuitError, match="no edges"):
        compare(GRAPH, masks["found"], masks["truth"])


def test_precision_and_recall_by_hand() -> None:
    truth = GRAPH.mask_of(["input->a0.h1<v>", "a0.h1->m1", "m1->logits", "input->m1"])
    found = GRAPH.mask_of(["input->a0.h1<v>", "a0.h1->m1", "input->m0", "m0->logits", "input->a0.h1<q>"])
    seen = compare(GRAPH, found, truth)
    assert (seen.n_edges, seen.precision, seen.recall) == (5, 2 / 5, 2 / 4)
    assert (seen.n_nodes, seen.node_precision, seen.node_recall) == (3, 2 / 3, 1.0), "a0.h1, m1 and m0"
    nothing = compare(GRAPH, torch.zeros_like(truth), truth)
    assert (nothing.precision, nothing.recall, nothing.node_precision) == (None, 0, None)


def test_edges_that_tie_for_the_last_places_count_against_the_method() -> None:
    truth = random_truth(3)
    best = strongest(GRAPH, torch.zeros_like(truth).double(), int(truth.sum()), truth)
    assert compare(GRAPH, best, truth).precision == 0
    assert torch.equal(strongest(GRAPH, truth.double(), int(truth.sum()), truth), truth)
