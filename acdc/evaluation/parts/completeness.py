"""Part `completeness` (Wang et al. 2022, section 4.2): does the circuit react to damage as the model does?

For a complete circuit C of the model M, and every set K of its nodes, `|F(C \\ K) - F(M \\ K)|` is small: what backs a
node of the circuit up in the model is in the circuit too. The sets are too many to try all, so some are drawn, and some
are grown greedily towards the largest difference.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.evaluation.cost import Cost
from acdc.evaluation.knockouts import Step, edges_of_node, inner_nodes
from acdc.evaluation.numbers import Number, number
from acdc.evaluation.part import Line, Part
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.evaluation.values import circuit_values
from acdc.evaluation.work import Work
from acdc.patching.problem import Problem

__all__ = ["PART", "Completeness", "Damage", "completeness"]

N_SETS = 20  # that are drawn
GREEDY_RUNS, GREEDY_STEPS = 1, 5  # how many sets are grown, and to how many nodes
CANDIDATES = 10  # nodes that a greedy step chooses from


@dataclass(frozen=True)
class Damage:
    """What the circuit and the model do without some nodes.

    Attributes:
        removed: The nodes K.
        circuit, model: F(C \\ K) and F(M \\ K): means of the metric.
        gap: Their difference's size.
        found: How K was found: none (K is empty), sampled or greedy.
    """

    removed: tuple[str, ...]
    circuit: Number
    model: Number
    gap: Number
    found: str


@dataclass(frozen=True)
class Completeness(Part):
    """Damages, the one with the largest gap first.

    Attributes:
        worst: The largest gap, in the metric's unit: 0 for a complete circuit. A lower bound, since not every K is
            tried.
        mean_sampled: The mean gap of the sets that were drawn; None if there are none.
        relative: `worst` in units of |F(M) - F(no edge)|; None where that is 0.
    """

    name = "completeness"
    summary = "whether it reacts to damage as the model does"
    order = 70
    unit = "sets"

    metric: str
    worst: Number
    mean_sampled: float | None
    relative: float | None
    damages: tuple[Damage, ...]
    n_prompts: int
    forward_passes: int

    def __post_init__(self) -> None:
        if not self.damages:
            raise ValueError("there is no damage")

    @classmethod
    def measure(cls, work: Work) -> "Completeness":
        return completeness(
            work.problem, work.mask, seed=work.settings.seed, recorder=work.recorder, progress=work.step
        )

    @classmethod
    def cost(cls, work: Work) -> Cost:
        n_runs = 1 + n_damages(work.problem, work.mask)  # of the damaged circuit, and as many of the damaged model
        n = n_runs * work.problem.batch.n
        return Cost(2 * n_runs, sparse=n, dense=n)

    def lines(self) -> Iterator[Line]:
        worst = self.damages[0]
        without = ", ".join(worst.removed) or "nothing removed"
        share = "" if self.relative is None else f", {self.relative:.0%} of the model's span"
        gap = f"largest gap {number(self.worst)} {self.metric}{share}"
        yield self.name, f"{gap}, without {without} ({worst.found})"


def completeness(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    *,
    n_sets: int = N_SETS,
    greedy_runs: int = GREEDY_RUNS,
    greedy_steps: int = GREEDY_STEPS,
    seed: int = 0,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> Completeness:
    """The largest gaps that sampled and greedily grown sets of nodes show, in the problem's metric.

    Args:
        n_sets: How many sets are drawn; each node is in each with probability 1/2.
        greedy_runs: How often a set is grown from nothing; each step adds, of 10 nodes drawn, the one with the largest
            gap.
        greedy_steps: To how many nodes a set grows.

    Reference:
        Wang et al. 2022, section 4.2 and appendix (greedy search).
    """
    rng, nodes = random.Random(f"completeness {seed}"), inner_nodes(problem, mask)
    steps = min(greedy_steps, len(nodes))
    total = n_damages(problem, mask, n_sets=n_sets, greedy_runs=greedy_runs, greedy_steps=greedy_steps)
    search = _Search(problem, mask, total, recorder, progress)
    span = abs(search.mean(problem.graph.edges_mask) - search.mean(torch.zeros_like(mask)))
    damages = [search.damage((), "none")]
    damages += [search.damage([node for node in nodes if rng.random() < 0.5], "sampled") for _ in range(n_sets)]
    for _ in range(greedy_runs):
        grown = list[str]()
        for _ in range(steps):
            left = [node for node in nodes if node not in grown]
            tried = [search.damage([*grown, node], "greedy") for node in rng.sample(left, min(CANDIDATES, len(left)))]
            best = max(tried, key=lambda damage: damage.gap)
            grown = list(best.removed)
            damages.append(best)
    sampled = [damage.gap for damage in damages if damage.found == "sampled"]
    damages.sort(key=lambda damage: -damage.gap)
    worst = damages[0].gap
    return Completeness(
        metric=problem.objective.metric.name,
        worst=worst,
        mean_sampled=sum(sampled) / len(sampled) if sampled else None,
        relative=worst / span if span else None,
        damages=tuple(damages),
        n_prompts=problem.batch.n_pairs,
        forward_passes=search.passes,
    )


def n_damages(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    *,
    n_sets: int = N_SETS,
    greedy_runs: int = GREEDY_RUNS,
    greedy_steps: int = GREEDY_STEPS,
) -> int:
    """How many sets K `completeness` measures, the empty one included."""
    n = len(inner_nodes(problem, mask))
    return 1 + n_sets + greedy_runs * sum(min(CANDIDATES, n - i) for i in range(min(greedy_steps, n)))


class _Search:
    """Measures damages and counts the forward passes."""

    def __init__(self, problem: Problem, mask: Tensor, total: int, recorder: Recorder, progress: Step | None) -> None:
        self.problem, self.mask, self.total, self.recorder, self.progress = problem, mask, total, recorder, progress
        self.whole = problem.graph.edges_mask
        self.passes = self.done = 0

    def mean(self, mask: Tensor) -> float:
        """F: the mean of the problem's metric."""
        self.passes += 1
        return float(circuit_values(self.problem, mask, self.recorder)[self.problem.objective.metric.name].mean())

    def damage(self, removed: Iterable[str], found: str) -> Damage:
        removed = tuple(sorted(removed, key=self.problem.graph.sites.index))
        gone = torch.zeros_like(self.mask)
        for node in removed:
            gone |= edges_of_node(self.problem, node)
        circuit, model = self.mean(self.mask & ~gone), self.mean(self.whole & ~gone)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)
        return Damage(removed, circuit, model, abs(circuit - model), found)


PART = Completeness
