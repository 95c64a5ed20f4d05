"""Circuits of split edges as circuits of whole ones."""

import math

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.comparison import compare_circuits
from acdc.circuits.graph import Graph
from acdc.circuits.score_kinds import ScoreKind
from acdc.errors import CircuitError
from tests.circuits.examples import SPLIT, circuit_of

WHOLE = SPLIT.whole


def test_an_edge_is_kept_if_it_is_at_any_span() -> None:
    circuit = Circuit.from_edges(SPLIT, ["input->m0@prefix", "input->m0@end", "m0->logits@end"])
    assert circuit.merge_spans().edges == ("input->m0", "m0->logits")
    assert circuit.merge_spans().graph == WHOLE
    assert circuit.merge_spans().provenance["merged_spans"] == list(SPLIT.spans)


def test_a_circuit_of_whole_edges_is_as_it_is() -> None:
    circuit = circuit_of(WHOLE)
    assert circuit.merge_spans() is circuit


@pytest.mark.parametrize(
    ("kind", "score", "after"),
    [
        ("estimated effect", -3.0, "estimated effect"),
        ("effect", -5.0, "importance"),
        ("gate", -5.0, "gate"),
        ("share", -5.0, "importance"),
        (None, -5.0, None),
    ],
)
def test_scores_add_up_where_that_means_something(kind: ScoreKind | None, score: float, after: str | None) -> None:
    scores = torch.full((SPLIT.n_src, SPLIT.n_dst), math.nan, dtype=torch.float64)
    for span, value in (("prefix", 2.0), ("S1+1", -5.0)):
        scores[SPLIT.parse_edge(f"input->m0@{span}")] = value
    merged = Circuit(SPLIT, SPLIT.edges_mask, scores, score_kind=kind).merge_spans()
    assert merged.scores is not None and merged.score_kind == after
    assert float(merged.scores[WHOLE.parse_edge("input->m0")]) == score
    assert bool(merged.scores[WHOLE.parse_edge("input->m1")].isnan())


def test_an_infinite_score_is_the_largest() -> None:
    scores = torch.full((SPLIT.n_src, SPLIT.n_dst), 1.0, dtype=torch.float64)
    scores[SPLIT.parse_edge("input->m0@S1+1")] = -math.inf
    merged = Circuit(SPLIT, SPLIT.edges_mask, scores).merge_spans()
    assert merged.scores is not None and float(merged.scores[WHOLE.parse_edge("input->m0")]) == -math.inf


def test_circuits_of_other_spans_are_compared_by_whole_edges() -> None:
    split = Circuit.from_edges(SPLIT, ["input->m0@prefix", "m0->logits@end"])
    whole = Circuit.from_edges(WHOLE, ["input->m0", "m0->logits"])
    assert compare_circuits({"a": split, "b": whole}).pairs[0].jaccard == 1.0
    other = Circuit.from_edges(SPLIT, ["input->m0@end", "m0->logits@end"])
    alike = compare_circuits({"a": split, "b": other})
    assert alike.graph == SPLIT and alike.pairs[0].jaccard == pytest.approx(1 / 3)
    assert set(alike.to_frame()["src"]) == {"input@prefix", "input@end", "m0@end"}


def test_other_models_are_still_refused() -> None:
    with pytest.raises(CircuitError, match="different models"):
        compare_circuits({"a": circuit_of(SPLIT), "b": circuit_of(Graph(3, 2, 8))})
