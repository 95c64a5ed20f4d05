"""What the parts of one evaluation work on, and share: whatever several need is made once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, get_type_hints

from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.errors import unknown_name
from acdc.evaluation.cost import Cost
from acdc.evaluation.held_out import prompts_text
from acdc.evaluation.knockouts import Step
from acdc.evaluation.recording import Recorder, SharedRuns
from acdc.evaluation.statistics import check_correction
from acdc.evaluation.values import Outcomes, outcomes_of
from acdc.options.defaults import ALPHA, CORRECTION, EPSILON, LARGE, LEVEL, N_HELD_OUT, N_RANDOM, QUANTILE, SEED
from acdc.options.ranges import Checked, Range, Seed, checked
from acdc.patching.problem import Problem
from acdc.prompts.batch import MAX_PAIRS

__all__ = ["PROMPTS", "Settings", "Work"]


PROMPTS = ("held-out", "discovery")


def _known_prompts(name: str) -> None:
    if name not in PROMPTS:
        raise unknown_name("set of prompts", name, PROMPTS)


Inside = Annotated[float, Range(0, 1, open_below=True, open_above=True)]


@dataclass(frozen=True)
class Settings:
    """What an evaluation is told; the same settings on the same circuit give the same numbers.

    Attributes:
        prompts: held-out or discovery.
        n: How many.
        seed: Of the held-out prompts and of all that is drawn.
        n_random: Random circuits of each kind; `minimality` draws twice as many random edges.
        level: Coverage of the intervals.
        alpha: Level of the tests.
        epsilon: How far from 1/2 the share of won prompts may be for circuit and model to count as equivalent.
        q: The share of random circuits, or edges, that the circuit, or an edge, must be beyond.
        correction: Of p-values for the number of edges: holm, bh or by.
        tau: The least effect that a kept edge must have, in the metric's unit; None only measures.
        thorough: Whether nothing is shortened, which is always so in models of at most 20,000 edges. In larger ones an
            evaluation that isn't thorough takes as few held-out prompts as the run had, and `curve` fewer sizes.
    """

    prompts: Annotated[str, Checked(_known_prompts)] = PROMPTS[0]
    n: Annotated[int, Range(2, MAX_PAIRS)] = N_HELD_OUT
    seed: Seed = SEED
    n_random: Annotated[int, Range(1, 100_000)] = N_RANDOM
    level: Inside = LEVEL
    alpha: Inside = ALPHA
    epsilon: Annotated[float, Range(0, 0.5, open_below=True, open_above=True)] = EPSILON
    q: Inside = QUANTILE
    correction: Annotated[str, Checked(check_correction)] = CORRECTION
    tau: Annotated[float, Range(0)] | None = None
    thorough: bool = True

    @classmethod
    def of(cls, given: Mapping[str, Any], *, n: int, tau: float | None, n_edges: int) -> "Settings":
        """The settings of which some are given.

        Args:
            given: By name; None for `n` and `tau` stands for the next two.
            n, tau: The run's own.
            n_edges: Of the model.
        """
        thorough = given.get("thorough", False) or n_edges <= LARGE
        held_out = N_HELD_OUT if thorough else max(2, min(N_HELD_OUT, n))
        own = {"tau": tau, "n": held_out if given.get("prompts", cls.prompts) == PROMPTS[0] else n}
        return cls(**(own | {key: value for key, value in given.items() if value is not None} | {"thorough": thorough}))

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Some settings as plain Python values; None stands for an `n` and a `tau` that the run decides.

        Raises:
            RunError: A value has another type or is out of range.
            UnknownNameError: There are no such prompts, or there is no such correction.
        """
        kinds = get_type_hints(cls, include_extras=True)
        kinds["n"] |= None
        return {name: checked(name, kinds[name], value) for name, value in given.items()}


@dataclass(eq=False)
class Work:
    """One evaluation's work.

    Attributes:
        circuit: The circuit.
        problem: The prompts to evaluate it on, in the run's metric and ablation.
        discovery: The prompts that it was found on; `problem` itself where these are asked for.
        n_seen: How many of the evaluation's prompts the search saw; None where that isn't known.
        settings: What the evaluation was told.
        arguments: Those of the run: `method`, `options`, `seed`, ...
        ablation: What removed edges carry, by name.
        k: How many times to find the circuit again.
        problem_of_seed: The run's problem on the discovery prompts of another seed.
        searcher: Gives the run's search as a function of a problem. Raises `RunError` where it isn't known.
        recorder: Of the part that is being measured.
        step: Tells how far that part is: (done, total).
    """

    circuit: Circuit
    problem: Problem
    discovery: Problem
    n_seen: int | None
    settings: Settings
    arguments: Mapping[str, Any]
    ablation: str
    k: int
    problem_of_seed: Callable[[int], Problem]
    searcher: Callable[[], Callable[[Problem], Circuit]]
    recorder: Recorder = field(default_factory=Recorder)
    step: Step = lambda done, total: None

    @cached_property
    def mask(self) -> Bool[Tensor, "src dst"]:
        """The circuit's edges."""
        return self.circuit.mask

    @property
    def metric(self) -> str:
        """Name of the metric that the problems minimise."""
        return self.problem.objective.metric.name

    @cached_property
    def shared(self) -> SharedRuns:
        """What circuits gave on both prompt sets, whichever part asked first."""
        return SharedRuns(self.problem, self.discovery)

    @cached_property
    def outcomes(self) -> Outcomes:
        """Model, circuit, complement and corrupted run on the evaluation's prompts."""
        return outcomes_of(self.problem, self.mask, recorder=Recorder(shared=self.shared))

    @property
    def outcomes_cost(self) -> Cost:
        """What `outcomes` takes: circuit, complement and corrupted run; the model's is made already."""
        return Cost(3, sparse=self.problem.batch.n, dense=2 * self.problem.batch.n)

    @property
    def prompts(self) -> dict[str, Any]:
        """What the prompts of the evaluation are, in numbers and in words."""
        n, seen = self.problem.batch.n_pairs, self.n_seen
        own = self.settings.prompts == "discovery" and seen in (n, None)
        text = f"{n} discovery prompts" if own else prompts_text(n, seen)
        return {"n": n, "n_seen": seen, "asked": self.settings.prompts, "text": text}

    def along(self, before: int, total: int) -> Step:
        """`step` for one stretch of a part: `before` is done when it starts, of `total` of the whole part."""
        return lambda done, _: self.step(before + done, total)
