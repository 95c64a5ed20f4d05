"""Part `minimality`: is every node and edge of the circuit needed, and every edge more than random ones?"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from acdc.evaluation.cost import Cost
from acdc.evaluation.knockouts import Step
from acdc.evaluation.needs import N_SETS, Needs, minimality, n_knock_outs, work_of_needs
from acdc.evaluation.numbers import Number, number
from acdc.evaluation.part import Line, Part
from acdc.evaluation.random_circuits import inflated
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.evaluation.statistics import adjust, quantile_test
from acdc.evaluation.values import loss_of
from acdc.evaluation.work import Work
from acdc.options.defaults import ALPHA, CORRECTION, N_RANDOM, QUANTILE
from acdc.patching.problem import Problem

__all__ = ["PART", "EdgeTest", "Minimality", "MinimalityTest", "minimality_test"]

VERDICTS = ("needed", "undecided", "redundant")


@dataclass(frozen=True)
class EdgeTest:
    """One edge against random ones.

    Attributes:
        effect: Rise of the loss without it.
        share: Share of the random edges with a smaller effect.
        p_redundant, p_needed: Adjusted p-values: small shows that it matters less, more, than a share q of them.
        verdict: needed, redundant or undecided.
    """

    effect: Number
    share: float
    p_redundant: float
    p_needed: float
    verdict: str


@dataclass(frozen=True)
class MinimalityTest:
    """The tests of all kept edges, adjusted for their number.

    Attributes:
        edges: Each edge's test, by name.
        random_effects: Effects of random edges, each in the circuit with a random path added.
    """

    edges: Mapping[str, EdgeTest]
    random_effects: tuple[Number, ...]
    q: float
    alpha: float
    correction: str
    n_prompts: int
    forward_passes: int

    def named(self, verdict: str) -> tuple[str, ...]:
        """The edges with this verdict."""
        return tuple(edge for edge, test in self.edges.items() if test.verdict == verdict)


@dataclass(frozen=True)
class Minimality(Part):
    """What every node and edge is needed for, and the test of every edge against random ones."""

    name = "minimality"
    summary = "whether every node and edge matters, more than random edges do"
    order = 60
    unit = "knock-outs"

    needs: Needs
    test: MinimalityTest
    n_prompts: int
    forward_passes: int

    @classmethod
    def measure(cls, work: Work) -> "Minimality":
        s, n_random = work.settings, 2 * work.settings.n_random
        n_needs = n_knock_outs(work.problem, work.mask, seed=s.seed)
        steps = [work.along(before, n_needs + n_random) for before in (0, n_needs)]
        needs = minimality(work.problem, work.mask, seed=s.seed, recorder=work.recorder, progress=steps[0])
        effects = torch.full(work.mask.shape, torch.nan, dtype=torch.float64)
        for name, need in needs.edges.items():
            effects[work.circuit.graph.parse_edge(name)] = need.alone
        test = minimality_test(
            work.problem,
            work.mask,
            effects,
            n_random=n_random,
            q=s.q,
            alpha=s.alpha,
            correction=s.correction,
            seed=s.seed,
            recorder=work.recorder,
            progress=steps[1],
        )
        return cls(needs, test, work.problem.batch.n_pairs, needs.forward_passes + test.forward_passes)

    @classmethod
    def cost(cls, work: Work) -> Cost:
        s, tests = work.settings, 2 * 2 * work.settings.n_random
        states = 2 * (1 + N_SETS)  # of the exact engine
        passes = n_knock_outs(work.problem, work.mask, seed=s.seed) + states + tests
        runs = work_of_needs(work.problem, work.mask, seed=s.seed) + tests
        return Cost(passes, sparse=runs * work.problem.batch.n)

    def lines(self) -> Iterator[Line]:
        counts = ", ".join(f"{len(self.test.named(verdict))} {verdict}" for verdict in VERDICTS)
        against = f"against {len(self.test.random_effects)} random edges, {self.test.correction}"
        yield self.name, f"edges: {counts} ({against})"
        # a size that isn't known comes first, as 0
        nodes = sorted(self.needs.nodes.items(), key=lambda item: np.nan_to_num(item[1].largest))
        for name, need in nodes[:1]:
            yield "least needed node", f"{name}: {number(need.largest)} at most, {number(need.alone)} alone"

    def edges(self) -> Mapping[str, Mapping[str, Any]]:
        columns: dict[str, dict[str, Any]] = {
            "effect": {name: test.effect for name, test in self.test.edges.items()},
            "effect_largest": {name: need.largest for name, need in self.needs.edges.items()},
        }
        for key in ("p_redundant", "p_needed", "verdict"):
            columns[key] = {name: getattr(test, key) for name, test in self.test.edges.items()}
        return columns


def minimality_test(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    effects: Float64[Tensor, "src dst"],
    *,
    n_random: int = 2 * N_RANDOM,
    q: float = QUANTILE,
    alpha: float = ALPHA,
    correction: str = CORRECTION,
    seed: int = 0,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> MinimalityTest:
    """Does each kept edge matter more than random edges do?

    A random edge is one that a random path adds to the circuit; its effect is the rise of the loss when it is taken out
    of the inflated circuit again. An edge that matters no more than most of these is redundant.

    Args:
        effects: The kept edges' knock-out effects: see `knock_out_edges`.
        n_random: How many random edges; 29 are the fewest that can show an edge to be beyond the .9 quantile at .05.
        q: The share of random edges that an edge must be beyond.
        correction: holm, bh or by: see `adjust`.

    Raises:
        CircuitError: The circuit keeps nearly every edge, so that there are no others to compare with.
    """
    graph, rng, random_effects = problem.graph, random.Random(f"minimality {seed}"), list[float]()
    for i in range(n_random):
        larger, added = inflated(graph, mask, rng)
        without = larger.clone()
        without[rng.choice(added)] = False
        random_effects.append(loss_of(problem, without, recorder) - loss_of(problem, larger, recorder))
        if progress is not None:
            progress(i + 1, n_random)
    names = {graph.edge_name(i, j): float(effects[i, j]) for i, j in mask.nonzero().tolist()}
    reference = np.array(random_effects)
    tests = {name: quantile_test(effect, reference, q=q) for name, effect in names.items()}
    redundant = adjust([test.p_below for test in tests.values()], correction)
    needed = adjust([test.p_above for test in tests.values()], correction)
    edges = {
        name: EdgeTest(names[name], test.share, low, high, _verdict(low, high, alpha))
        for (name, test), low, high in zip(tests.items(), redundant, needed, strict=True)
    }
    return MinimalityTest(edges, tuple(random_effects), q, alpha, correction, problem.batch.n_pairs, 2 * n_random)


def _verdict(p_redundant: float, p_needed: float, alpha: float) -> str:
    if p_needed <= alpha:
        return "needed"
    return "redundant" if p_redundant <= alpha else "undecided"


PART = Minimality
