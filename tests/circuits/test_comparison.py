"""Comparing circuits: each number against its definition, counted edge by edge."""

import itertools
import json
import math

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.comparison import compare_circuits
from acdc.circuits.graph import Graph
from acdc.circuits.overlap import edge_groups
from acdc.circuits.recovery import roc_auc
from acdc.errors import CircuitError, UnknownNameError
from tests.circuits.examples import GRAPHS, IDS, circuit_of

SMALL = Graph(2, 2, 8)


def scored(graph: Graph, seed: int, *, share: float = 0.4) -> Circuit:
    """A circuit with few distinct scores, so that some tie."""
    circuit = circuit_of(graph, seed, share=share)
    return Circuit(graph, circuit.mask, (circuit.scores * 2).round() / 2)


def value_of(circuit: Circuit, edge: str, *, absolute: bool) -> tuple[int, float]:
    """The tier of an edge, and its score in it."""
    score = math.nan if circuit.scores is None else float(circuit.scores[circuit.graph.parse_edge(edge)])
    if math.isnan(score):
        return (2 if edge in circuit else 0), 0.0
    return 1, abs(score) if absolute else score


def auc_by_counting(circuit: Circuit, reference: Circuit, *, absolute: bool) -> float | None:
    names = circuit.graph.edge_names(circuit.graph.edges_mask)
    pairs = [(x, y) for x in names if x in reference for y in names if y not in reference]
    values = {name: value_of(circuit, name, absolute=absolute) for name in names}
    won = [1.0 if values[x] > values[y] else 0.5 if values[x] == values[y] else 0.0 for x, y in pairs]
    return sum(won) / len(won) if won else None


def test_every_number_of_a_pair_is_its_definition(graph: Graph) -> None:
    a, b = scored(graph, 1), scored(graph, 2)
    pair = compare_circuits({"a": a, "b": b}).pairs[0]
    mine, theirs = set(a.edges), set(b.edges)
    assert (pair.n_shared, pair.n_only_a, pair.n_only_b) == (
        len(mine & theirs),
        len(mine - theirs),
        len(theirs - mine),
    )
    assert pair.jaccard == (len(mine & theirs) / len(mine | theirs) if mine | theirs else 1.0)
    smaller = min(len(mine), len(theirs))
    assert pair.overlap == (len(mine & theirs) / smaller if smaller else None)
    nodes, others = set(a.nodes), set(b.nodes)
    assert pair.node_jaccard == (len(nodes & others) / len(nodes | others) if nodes | others else 1.0)


@pytest.mark.parametrize("graph", GRAPHS[:2], ids=IDS[:2])
def test_rank_correlations_are_their_definitions(graph: Graph) -> None:
    a, b = scored(graph, 1), scored(graph, 2)
    pair = compare_circuits({"a": a, "b": b}).pairs[0]
    both = ~a.scores.isnan() & ~b.scores.isnan()
    x, y = a.scores[both].tolist(), b.scores[both].tolist()
    assert pair.n_scored == len(x) < graph.n_edges
    concordant, ties_x, ties_y, n = 0, 0, 0, 0
    for (x0, y0), (x1, y1) in itertools.combinations(zip(x, y, strict=True), 2):
        concordant += ((x0 > x1) - (x0 < x1)) * ((y0 > y1) - (y0 < y1))
        ties_x, ties_y, n = ties_x + (x0 == x1), ties_y + (y0 == y1), n + 1
    assert pair.kendall == pytest.approx(concordant / math.sqrt((n - ties_x) * (n - ties_y)))
    ranks = [[sum(u < v for u in row) + (sum(u == v for u in row) + 1) / 2 for v in row] for row in (x, y)]
    assert pair.spearman == pytest.approx(float(torch.corrcoef(torch.tensor(ranks, dtype=torch.float64))[0, 1]))


def test_a_circuit_agrees_with_itself(graph: Graph) -> None:
    a = circuit_of(graph, share=0.5)
    comparison = compare_circuits({"a": a, "b": Circuit(graph, a.mask, a.scores)}, reference="a")
    (pair,), (recovery,) = comparison.pairs, comparison.recovery
    assert pair.jaccard == pair.node_jaccard == 1 and pair.n_only_a == pair.n_only_b == 0
    assert pair.spearman == pytest.approx(1) and pair.kendall == pytest.approx(1)
    assert recovery.precision == recovery.recall == recovery.node_precision == recovery.node_recall == 1
    assert recovery.false_positives == recovery.false_negatives == 0
    assert torch.equal(comparison.core, a.mask) and not comparison.optional.any()


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("graph", GRAPHS[:3], ids=IDS[:3])
def test_the_roc_area_is_the_share_of_pairs_in_order(graph: Graph, absolute: bool) -> None:
    for seed in range(3):
        circuit, reference = scored(graph, seed, share=0.2), circuit_of(graph, seed + 10)
        for case in (circuit, Circuit(graph, circuit.mask)):
            expected = auc_by_counting(case, reference, absolute=absolute)
            found = roc_auc(case, reference.mask, absolute=absolute)
            assert found == (None if expected is None else pytest.approx(expected))


def test_the_roc_area_of_a_mask_is_that_of_its_two_rates() -> None:
    circuit, reference = Circuit(SMALL, circuit_of(SMALL, 1).mask), circuit_of(SMALL, 2)
    (recovery,) = compare_circuits({"r": reference, "c": circuit}, reference="r").recovery
    assert recovery.roc_auc == pytest.approx((recovery.recall + 1 - recovery.false_positive_rate) / 2)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinite_scores_have_ranks(value: float) -> None:
    scores = torch.linspace(-1, 1, SMALL.n_src * SMALL.n_dst, dtype=torch.float64).view(SMALL.n_src, SMALL.n_dst)
    scores[0, 0] = value
    scores[0, 1] = math.nan
    a, reference = Circuit(SMALL, SMALL.edges_mask, scores), circuit_of(SMALL)
    assert roc_auc(a, reference.mask) == pytest.approx(auc_by_counting(a, reference, absolute=False))
    assert compare_circuits({"a": a, "b": a}).pairs[0].spearman == pytest.approx(1)


# recovery


def test_an_edge_that_one_lacks_is_no_true_positive() -> None:
    reference = Circuit.from_edges(SMALL, ["input->m0", "m0->m1", "m1->logits"])
    nothing = Circuit.from_edges(SMALL, [])
    wrong = Circuit.from_edges(SMALL, ["a0.h0->m1", "a0.h0->logits"])
    half = Circuit.from_edges(SMALL, ["input->m0", "a0.h0->logits"])
    found = compare_circuits({"r": reference, "nothing": nothing, "wrong": wrong, "half": half}, reference="r").recovery
    by_name = {recovery.name: recovery for recovery in found}
    assert set(by_name) == {"nothing", "wrong", "half"}
    assert by_name["nothing"].true_positives == 0 and by_name["nothing"].false_negatives == 3
    assert by_name["nothing"].precision is None and by_name["nothing"].recall == 0 and by_name["nothing"].roc_auc == 0.5
    assert by_name["wrong"].true_positives == 0 and by_name["wrong"].precision == by_name["wrong"].recall == 0
    assert by_name["half"].true_positives == 1
    assert by_name["half"].precision == 1 / 2 and by_name["half"].recall == 1 / 3
    assert by_name["half"].false_positive_rate == 1 / (SMALL.n_edges - 3)


def test_what_was_never_measured_ranks_last() -> None:
    """A circuit that measured only wrong edges has found none, whatever it left out."""
    reference = Circuit.from_edges(SMALL, ["input->m0"])
    scores = torch.full((SMALL.n_src, SMALL.n_dst), 0.5, dtype=torch.float64)
    scores[SMALL.parse_edge("input->m0")] = math.nan
    assert roc_auc(Circuit(SMALL, torch.zeros_like(SMALL.edges_mask), scores), reference.mask) == 0
    scores[:] = -0.5
    scores[SMALL.parse_edge("input->m0")] = math.nan
    assert roc_auc(Circuit(SMALL, torch.zeros_like(SMALL.edges_mask), scores), reference.mask) == 0


def test_recovery_of_everything_or_nothing_has_no_roc_area() -> None:
    full, empty = Circuit(SMALL, SMALL.edges_mask), Circuit.from_edges(SMALL, [])
    (recovery,) = compare_circuits({"r": full, "c": empty}, reference="r").recovery
    assert recovery.roc_auc is None and recovery.false_positive_rate is None and recovery.recall == 0
    assert roc_auc(full, empty.mask) is None


# sets of many


def group_of_each_edge(circuits: dict[str, Circuit]) -> dict[str, str]:
    graph = next(iter(circuits.values())).graph
    groups = edge_groups({name: circuit.mask for name, circuit in circuits.items()})
    assert torch.stack(list(groups.values())).sum(0).max() <= 1, "they part the union"
    return {edge: group for group, mask in groups.items() for edge in graph.edge_names(mask)}


def test_core_and_optional_edges_part_the_union(graph: Graph) -> None:
    circuits = {name: circuit_of(graph, seed, share=0.6) for seed, name in enumerate("abc")}
    comparison = compare_circuits(circuits)
    sets = [set(circuit.edges) for circuit in circuits.values()]
    core, union = set.intersection(*sets), set.union(*sets)
    assert set(graph.edge_names(comparison.core)) == core
    assert set(graph.edge_names(comparison.optional)) == union - core
    assert [(pair.a, pair.b) for pair in comparison.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    groups = group_of_each_edge(circuits)
    assert set(groups) == union
    for edge, group in groups.items():
        inside = [name for name, edges in zip("abc", sets, strict=True) if edge in edges]
        assert group == ("in all" if len(inside) == 3 else "in several" if len(inside) == 2 else f"only {inside[0]}")
    frame = comparison.to_frame()
    assert set(frame["edge"]) == union and frame["group"].tolist() == [groups[edge] for edge in frame["edge"]]
    for name, edges in zip("abc", sets, strict=True):
        assert set(frame["edge"][frame[f"kept: {name}"]]) == edges
    assert (frame["n_circuits"] == frame[[f"kept: {name}" for name in "abc"]].sum(1)).all()
    json.dumps(comparison.to_dict(), allow_nan=False)


@pytest.mark.parametrize("scores", [None, "nan", "equal"])
def test_scores_that_tell_no_order_correlate_with_nothing(scores: str | None) -> None:
    values = None if scores is None else torch.full((SMALL.n_src, SMALL.n_dst), math.nan if scores == "nan" else 1.0)
    a = Circuit(SMALL, SMALL.edges_mask, values)
    pair = compare_circuits({"a": a, "b": circuit_of(SMALL)}).pairs[0]
    assert pair.spearman is None and pair.kendall is None
    assert (pair.n_scored > 0) == (scores == "equal")


def test_empty_circuits_agree() -> None:
    empty = Circuit.from_edges(SMALL, [])
    pair = compare_circuits({"a": empty, "b": empty}).pairs[0]
    assert pair.jaccard == 1 and pair.node_jaccard == 1 and pair.overlap is None


def test_mistakes_are_told() -> None:
    a = circuit_of(SMALL)
    with pytest.raises(CircuitError, match="two circuits or more, not 1"):
        compare_circuits({"a": a})
    with pytest.raises(CircuitError, match=r"'a' and 'b' are of different models.*2 layers x 2 heads of width 8 and 4"):
        compare_circuits({"a": a, "b": circuit_of(Graph(4, 2, 8))})
    with pytest.raises(CircuitError, match="different models"):
        compare_circuits({"a": a, "b": circuit_of(Graph(2, 2, 16))})
    with pytest.raises(UnknownNameError, match="did you mean 'ab'"):
        compare_circuits({"ab": a, "b": a}, reference="abc")
