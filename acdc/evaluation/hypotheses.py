"""Hypothesis tests about a circuit (Shi et al. 2024), with the statistics corrected.

| test | null hypothesis | rejecting it shows |
|---|---|---|
| equivalence | circuit and model beat each other equally often, within epsilon | they differ |
| independence | the complement's performance is independent of the model's | they depend on each other |
| minimality | an edge matters more than a share q of random added edges | the edge is redundant |
| sufficiency | at most a share q of random circuits are further from the model | random circuits are worse |

Where not rejecting is what a circuit's author hopes for, the opposite null is tested too.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from torch import Tensor

from acdc.errors import CircuitError
from acdc.evaluation.knockouts import Step
from acdc.evaluation.random_circuits import degree_matched, inflated, size_matched
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.evaluation.statistics import HSICTest, QuantileTest, SignTest, adjust, hsic_test, quantile_test, sign_test
from acdc.evaluation.values import ROUNDING, Outcomes, circuit_values, loss_of, performance_metric, prompt_values
from acdc.patching.problem import Problem

__all__ = [
    "EdgeTest",
    "MinimalityTest",
    "SufficiencyTest",
    "equivalence_test",
    "independence_test",
    "minimality_test",
    "sufficiency_test",
]

ALPHA = 0.05
MOST_SHARED = 0.5  # of the circuit's edges: random circuits that share more are near it already, and show nothing


def equivalence_test(problem: Problem, outcomes: Outcomes, *, epsilon: float = 0.1) -> SignTest:
    """Does the circuit beat the model on about half of the prompts?

    A prompt is won where the circuit's performance (`performance_metric`) is better; differences within rounding of the
    model's dtype are ties.
    """
    metric = performance_metric(problem)
    values = outcomes.values[metric.name]
    better = values["circuit"] - values["model"]
    scale = max(1.0, float(np.abs(values["model"]).max()))
    return sign_test(
        better if metric.higher_is_better else -better,
        epsilon=epsilon,
        tolerance=ROUNDING[problem.model.dtype] * scale,
    )


def independence_test(problem: Problem, outcomes: Outcomes, *, permutations: int = 1000, seed: int = 0) -> HSICTest:
    """Does what is left without the circuit still follow the model's performance from prompt to prompt?"""
    values = outcomes.values[performance_metric(problem).name]
    return hsic_test(values["model"], values["complement"], permutations=permutations, seed=seed)


@dataclass(frozen=True)
class EdgeTest:
    """One edge against random ones.

    Attributes:
        effect: Rise of the loss without it.
        share: Share of the random edges with a smaller effect.
        p_redundant, p_needed: Adjusted p-values: small shows that it matters less, more, than a share q of them.
        verdict: needed, redundant or undecided.
    """

    effect: float
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
    random_effects: tuple[float, ...]
    q: float
    alpha: float
    correction: str
    n_prompts: int
    forward_passes: int

    def named(self, verdict: str) -> tuple[str, ...]:
        """The edges with this verdict."""
        return tuple(edge for edge, test in self.edges.items() if test.verdict == verdict)


def minimality_test(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    effects: Float64[Tensor, "src dst"],
    *,
    n_random: int = 100,
    q: float = 0.9,
    alpha: float = ALPHA,
    correction: str = "holm",
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
    graph, rng, random_effects = problem.model.graph, random.Random(f"minimality {seed}"), list[float]()
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
    return MinimalityTest(edges, tuple(random_effects), q, alpha, correction, problem.batch.n, 2 * n_random)


@dataclass(frozen=True)
class SufficiencyTest:
    """A circuit against random circuits.

    Attributes:
        distance: Mean |circuit - model| of the problem's metric over the prompts.
        random_distances: The same of the random circuits.
        test: Where the circuit stands: `share` of the random circuits that are further away.
        random_edges: Mean number of edges of the random circuits that lie on a path from input to logits.
        overlap: Mean share of the circuit's edges that the random circuits keep too; 0 for an empty circuit.
    """

    matched: str
    distance: float
    random_distances: tuple[float, ...]
    random_edges: float
    overlap: float
    test: QuantileTest
    n_prompts: int
    forward_passes: int

    def sufficient(self, alpha: float = ALPHA) -> bool | None:
        """Whether random circuits are worse, at level `alpha`; None where they share too many of the circuit's edges
        (`MOST_SHARED`) for that to mean anything."""
        return None if self.overlap > MOST_SHARED else self.test.p_above <= alpha


def sufficiency_test(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    *,
    matched: str = "size",
    n_random: int = 50,
    q: float = 0.9,
    seed: int = 0,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> SufficiencyTest:
    """Is the circuit nearer to the model than random circuits like it?

    Args:
        matched: What the random circuits share with it: `size` (unions of random paths with as many edges) or `degree`
            (every source has as many readers, every destination as many sources).

    Reference:
        Shi et al. 2024, section 3.2.
    """
    graph, rng = problem.model.graph, random.Random(f"sufficiency {matched} {seed}")
    draw: Mapping[str, Callable[[], Tensor]] = {
        "size": lambda: size_matched(graph, int(mask.sum()), rng),
        "degree": lambda: degree_matched(graph, mask, rng),
    }
    if matched not in draw:
        raise CircuitError(f"random circuits can be matched by {' or '.join(draw)}, not by {matched!r}")
    distances, sizes, shares, n_edges = list[float](), list[int](), list[float](), max(1, int(mask.sum()))
    for i in range(n_random):
        drawn = draw[matched]()
        distances.append(_distance(problem, drawn, recorder))
        sizes.append(int(problem.prune(drawn).sum()))
        shares.append(int((drawn & mask).sum()) / n_edges)
        if progress is not None:
            progress(i + 1, n_random)
    own = _distance(problem, mask, recorder)
    test = quantile_test(-own, -np.array(distances), q=q)  # nearer is better
    return SufficiencyTest(
        matched=matched,
        distance=own,
        random_distances=tuple(distances),
        random_edges=float(np.mean(sizes)),
        overlap=float(np.mean(shares)),
        test=test,
        n_prompts=problem.batch.n,
        forward_passes=n_random + 1,
    )


def _verdict(p_redundant: float, p_needed: float, alpha: float) -> str:
    if p_needed <= alpha:
        return "needed"
    return "redundant" if p_redundant <= alpha else "undecided"


def _distance(problem: Problem, mask: Tensor, recorder: Recorder) -> float:
    name = problem.objective.metric.name
    circuit, model = circuit_values(problem, mask, recorder)[name], prompt_values(problem, problem.clean.logits)[name]
    return float(np.abs(circuit - model).mean())
