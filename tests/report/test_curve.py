"""Beside the slider stands only what was measured of the very edges that are shown."""

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.report import Findings
from acdc.report.curve import size_curve
from tests.report.samples import curve_of, random_circuit

pytestmark = pytest.mark.fast
GRAPH = Graph(n_layers=2, n_heads=1, d_model=4)
CHAIN = ("input->logits", "input->m0", "m0->logits", "input->m1", "m1->logits")


def circuit_of(*kept: str) -> Circuit:
    """A circuit whose scores rank the chain's edges in their order, and no others."""
    scores = torch.zeros(GRAPH.n_src, GRAPH.n_dst, dtype=torch.float64)
    for rank, name in enumerate(CHAIN):
        scores[GRAPH.parse_edge(name)] = 10.0 - rank
    return Circuit(GRAPH, GRAPH.mask_of(kept), scores, score_kind="estimated effect")


def known(circuit: Circuit, sizes: tuple[int, ...], **options: object) -> list[int]:
    """The sizes of a saved curve that are this circuit's strongest edges."""
    record = curve_of(circuit)
    record["arguments"]["options"] |= options
    record["evidence"]["curve"] = [{"n_edges": n, "faithfulness": 0.1 * n} for n in sizes]
    curve = size_curve(Findings(circuit, record=record))
    assert curve is not None
    return [point.n_edges for point in curve.points if point.of_this]


def test_sizes_whose_edges_all_lie_on_a_path() -> None:
    assert known(circuit_of(*CHAIN), (0, 1, 2, 3, 4, 5, 6)) == [0, 1, 3, 5]


def test_no_size_beyond_an_edge_that_the_circuit_lacks() -> None:
    assert known(circuit_of("input->logits", "input->m1", "m1->logits"), (1, 2, 3)) == [1]


def test_a_ranking_by_sign_is_another_one() -> None:
    assert known(circuit_of(*CHAIN), (1, 3), signed=True) == []


def test_no_scores_no_ranking() -> None:
    bare = Circuit(GRAPH, GRAPH.mask_of(CHAIN))
    assert known(bare, (1, 3, 5)) == []


def test_no_curve_where_none_was_saved() -> None:
    assert size_curve(Findings(random_circuit())) is None
