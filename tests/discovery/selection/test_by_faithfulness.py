"""The smallest circuit that keeps enough: what is promised, and in how many passes."""

import math

import pytest
import torch

from acdc.circuits.ranking import ranked_edges
from acdc.discovery.selection.by_faithfulness import MOST_PASSES, by_faithfulness, smallest
from acdc.discovery.selection.candidates import Candidates
from acdc.discovery.selection.select import select
from acdc.errors import ACDCError
from acdc.patching.problem import Problem
from tests.discovery.selection.scored import found, prefix, problem_of


@pytest.mark.parametrize("prune", [True, False])
@pytest.mark.parametrize("metric", ["kl", "logit_diff", "nll"])
@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_faithfulness_is_kept_and_by_one_edge_less_it_is_not(metric: str, share: float, prune: bool) -> None:
    problem = problem_of(metric)
    graph = problem.model.graph
    kept = select(problem, found(), faithfulness=share, prune=prune)
    full, empty = problem.loss(problem.clean.logits), problem.loss(problem.logits(graph.edges_mask & False))

    def retained(mask: torch.Tensor) -> float:
        return (empty - problem.loss(problem.logits(mask))) / (empty - full)

    assert retained(kept.mask) >= share - 1e-12
    assert {"n_edges": int(kept.mask.sum()), "faithfulness": kept.diagnostics["faithfulness"]} in kept.diagnostics[
        "curve"
    ]
    assert kept.diagnostics["faithfulness"] == pytest.approx(retained(kept.mask), abs=1e-9)
    order = ranked_edges(graph, found().scores, signed=False)
    cut = graph.prune if prune else torch.clone
    sizes = [n for n in range(len(order) + 1) if torch.equal(cut(prefix(order, n)), kept.mask)]
    assert sizes, "it is a prefix of the ranking"
    assert sizes[0] == 1 or retained(cut(prefix(order, sizes[0] - 1))) < share


def test_the_masked_forwards_are_counted_and_few() -> None:
    problem, calls = problem_of(), 0

    class Counted(Problem):
        def logits(self, mask):
            nonlocal calls
            calls += 1
            return super().logits(mask)

    for share in (0.2, 0.9, 0.999):
        counted = Counted(**{name: getattr(problem, name) for name in problem.__dataclass_fields__})
        calls = 0
        kept = select(counted, found(), faithfulness=share)
        measured = [point for point in kept.diagnostics["curve"] if 0 < point["n_edges"] < problem.model.graph.n_edges]
        assert kept.forward_passes == calls == 1 + len(measured) <= MOST_PASSES
        assert sorted(measured, key=lambda point: point["n_edges"]) == measured


class Drawn:
    """A curve by a formula, that counts what is measured."""

    def __init__(self, formula, n: int) -> None:
        self.formula, self.n, self.measured = formula, n, {}

    @property
    def left(self) -> int:
        return MOST_PASSES - 1 - len(self.measured)

    def at(self, n: int) -> float:
        if n == self.n:
            return 1.0
        self.measured[n] = self.formula(n)
        return self.measured[n]


ALL = 123_211
CURVES = {
    "power": lambda n: 1 / (1 + (500 / n) ** 1.5),
    "steep": lambda n: 1 / (1 + (300 / n) ** 8),
    "step": lambda n: 0.0 if n < 2000 else 0.95,
    "late step": lambda n: 0.0 if n < 120_000 else 0.95,
    "even in log size": lambda n: math.log1p(n) / math.log1p(ALL),
    "even": lambda n: n / ALL,
    "above 1": lambda n: 1.3 / (1 + (700 / n) ** 2),
    "below 0": lambda n: -0.5 + 1.5 / (1 + (20_000 / n) ** 2),
    "waves": lambda n: math.sin(n) + n / ALL,
    "undefined": lambda n: math.nan if n % 3 else 0.99,
    "one edge": lambda n: 1.0,
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("share", [0.1, 0.9, 1.0])
def test_in_a_large_graph_twelve_passes_find_a_circuit_that_keeps_enough(name: str, share: float) -> None:
    curve = Drawn(CURVES[name], ALL)
    n = smallest(curve, ALL, share)
    assert curve.left >= 0
    assert n == ALL or curve.measured[n] >= share
    if name not in ("waves", "undefined"):
        below = max([size for size, found in curve.measured.items() if found < share], default=0)
        assert below < n <= max(below + 1, 1.02 * below), "nor was it far from too small"


@pytest.mark.parametrize("seed", range(20))
def test_the_promise_holds_where_faithfulness_falls_with_size(seed: int) -> None:
    """And in a graph of up to 2,000 edges the circuit of one edge less was measured and doesn't keep enough."""
    values = torch.rand(2048, generator=torch.Generator().manual_seed(seed)).tolist()
    curve = Drawn(lambda n: values[n], 2048)
    n = smallest(curve, 2048, 0.9)
    assert curve.left >= 0 and (n == 2048 or curve.measured[n] >= 0.9)
    assert n == 1 or curve.measured[n - 1] < 0.9


def test_too_few_edges_to_keep_enough_is_told() -> None:
    graph = problem_of().model.graph
    two = prefix(ranked_edges(graph, found().scores, signed=False), 2)
    with pytest.raises(ACDCError, match="all 2 edges that may be chosen keep"):
        by_faithfulness(Candidates(problem_of(), found().scores, two), faithfulness=0.999)


def test_passes_that_are_left_look_for_a_smaller_circuit() -> None:
    """Faithfulness that falls with size has more than one crossing, of which the smaller one is better."""
    curve = Drawn(lambda n: 0.95 if 5 <= n <= 12 or n >= 17 else 0.3, 118)
    assert smallest(curve, 118, 0.9) == 5 and curve.left >= 0
