"""Agreement with a known circuit, by hand; and that nothing which isn't an edge counts."""

import math
import random

import pytest
import torch

from acdc.benchmarking.recovery import compare, strongest
from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError

GRAPH = Graph(n_layers=2, n_heads=2, d_model=8)


def random_truth(seed: int, n: int = 6) -> torch.Tensor:
    edges = GRAPH.edges_mask.nonzero().tolist()
    mask = torch.zeros_like(GRAPH.edges_mask)
    for i, j in random.Random(seed).sample(edges, n):
        mask[i, j] = True
    return mask


@pytest.mark.parametrize("which", ["found", "truth"])
def test_a_mask_that_keeps_what_is_no_edge_is_refused(which: str) -> None:
    masks = {"found": random_truth(1), "truth": random_truth(2)}
    masks[which][-1, 0] = True  # the last MLP into the first head
    with pytest.raises(CircuitError, match="not edges"):
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
    n, nothing = int(truth.sum()), torch.zeros_like(truth)
    best = strongest(Circuit(GRAPH, nothing, nothing.double()), n, truth)
    assert compare(GRAPH, best, truth).precision == 0
    assert torch.equal(strongest(Circuit(GRAPH, nothing, truth.double()), n, truth), truth)
    unmeasured = torch.full(truth.shape, math.nan, dtype=torch.float64)
    assert torch.equal(strongest(Circuit(GRAPH, truth, unmeasured), n, truth), truth), "what is kept comes first"
