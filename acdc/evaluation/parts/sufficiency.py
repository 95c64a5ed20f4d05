"""Part `sufficiency` (Shi et al. 2024): is the circuit nearer to the model than random circuits like it?"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from acdc.errors import CircuitError
from acdc.evaluation.cost import Cost
from acdc.evaluation.knockouts import Step
from acdc.evaluation.numbers import Number, p_value
from acdc.evaluation.part import Line, Part
from acdc.evaluation.random_circuits import degree_matched, size_matched
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.evaluation.statistics import QuantileTest, quantile_test
from acdc.evaluation.values import circuit_values, prompt_values
from acdc.evaluation.work import Work
from acdc.options.defaults import ALPHA, N_RANDOM, QUANTILE
from acdc.patching.problem import Problem

__all__ = ["MOST_SHARED", "PART", "Sufficiency", "SufficiencyTest", "sufficiency_test"]

MOST_SHARED = 0.5  # of the circuit's edges: random circuits that share more are near it already, and show nothing


@dataclass(frozen=True)
class SufficiencyTest:
    """A circuit against random circuits.

    Attributes:
        distance: Mean |circuit - model| of the problem's metric over the prompts.
        random_distances: The same of the random circuits.
        random_edges: Mean number of edges of the random circuits that lie on a path from input to logits.
        overlap: Mean share of the circuit's edges that the random circuits keep too; 0 for an empty circuit.
        test: Where the circuit stands: `share` of the random circuits that are further away.
        sufficient: Whether random circuits are worse, at level alpha; None where they share too many of the circuit's
            edges (`MOST_SHARED`) for that to mean anything.
    """

    matched: str
    distance: Number
    random_distances: tuple[Number, ...]
    random_edges: float
    overlap: float
    test: QuantileTest
    n_prompts: int
    forward_passes: int
    sufficient: bool | None


@dataclass(frozen=True)
class Sufficiency(Part):
    """The circuit against random circuits of its size, and of its nodes' degrees."""

    name = "sufficiency"
    summary = "whether it is nearer to the model than random circuits"
    order = 50
    unit = "circuits"

    size: SufficiencyTest
    degree: SufficiencyTest
    alpha: float
    n_prompts: int
    forward_passes: int

    @classmethod
    def measure(cls, work: Work) -> "Sufficiency":
        settings = work.settings
        size, degree = (
            sufficiency_test(
                work.problem,
                work.mask,
                matched=matched,
                n_random=settings.n_random,
                q=settings.q,
                alpha=settings.alpha,
                seed=settings.seed,
                recorder=work.recorder,
                progress=work.along(i * settings.n_random, 2 * settings.n_random),
            )
            for i, matched in enumerate(("size", "degree"))
        )
        passes = size.forward_passes + degree.forward_passes
        return cls(size, degree, settings.alpha, work.problem.batch.n_pairs, passes)

    @classmethod
    def cost(cls, work: Work) -> Cost:
        n_random, n = 2 * work.settings.n_random, work.problem.batch.n
        return Cost(2 + n_random, sparse=2 * n, dense=n_random * n)  # random circuits have many nodes of few edges

    def lines(self) -> Iterator[Line]:
        for found in (self.size, self.degree):
            word = {True: "sufficient", False: "not shown", None: "no verdict"}[found.sufficient]
            alike = f"they share {found.overlap:.0%} of its edges on average"
            too = f", too alike for a verdict (over {MOST_SHARED:.0%})" if found.sufficient is None else ""
            nearer = f"nearer than {found.test.share:.0%} of {len(found.random_distances)} random circuits"
            yield (
                f"{self.name}, {found.matched}",
                f"{word}: {nearer} (p {p_value(found.test.p_above)}); {alike}{too}",
            )


def sufficiency_test(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    *,
    matched: str = "size",
    n_random: int = N_RANDOM,
    q: float = QUANTILE,
    alpha: float = ALPHA,
    seed: int = 0,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> SufficiencyTest:
    """Is the circuit nearer to the model than random circuits like it?

    Args:
        matched: What the random circuits share with it: `size` (unions of random paths with as many edges) or `degree`
            (every source has as many readers, every destination as many sources).
        q: The share of random circuits that the circuit must be nearer than.
        alpha: Level of the test.

    Raises:
        CircuitError: There is no such way to match.

    Reference:
        Shi et al. 2024, section 3.2.
    """
    graph, rng = problem.graph, random.Random(f"sufficiency {matched} {seed}")
    draw: Mapping[str, Callable[[], Tensor]] = {
        "size": lambda: size_matched(graph, int(mask.sum()), rng),
        "degree": lambda: degree_matched(graph, mask, rng),
    }
    if matched not in draw:
        raise CircuitError(f"random circuits can be matched by {' or '.join(draw)}, not by {matched!r}")
    distance = _distance_to_model(problem, recorder)
    distances, sizes, shares, n_edges = list[float](), list[int](), list[float](), max(1, int(mask.sum()))
    for i in range(n_random):
        drawn = draw[matched]()
        distances.append(distance(drawn))
        sizes.append(int(problem.prune(drawn).sum()))
        shares.append(int((drawn & mask).sum()) / n_edges)
        if progress is not None:
            progress(i + 1, n_random)
    own, overlap = distance(mask), float(np.mean(shares))
    test = quantile_test(-own, -np.array(distances), q=q)  # nearer is better
    return SufficiencyTest(
        matched=matched,
        distance=own,
        random_distances=tuple(distances),
        random_edges=float(np.mean(sizes)),
        overlap=overlap,
        test=test,
        n_prompts=problem.batch.n_pairs,
        forward_passes=n_random + 1,
        sufficient=None if overlap > MOST_SHARED else test.p_above <= alpha,
    )


def _distance_to_model(problem: Problem, recorder: Recorder) -> Callable[[Tensor], float]:
    """The mean |circuit - model| of the problem's metric over the prompts, as a function of a circuit's mask."""
    name = problem.objective.metric.name
    model = prompt_values(problem, problem.clean.logits)[name]
    return lambda mask: float(np.abs(circuit_values(problem, mask, recorder)[name] - model).mean())


PART = Sufficiency
