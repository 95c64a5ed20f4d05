"""How much of the task a feature circuit does alone: faithfulness and completeness, prompt by prompt.

What is measured is what is measured of circuits of heads and MLPs, and by the same code: the metrics of the model, of
the circuit, of its complement and of every node ablated, normalised faithfulness with intervals, and the circuit's and
the model's answers to damage (Wang et al. 2022, section 4.2). Marks et al. call the faithfulness of the complement the
circuit's completeness: near 0 where the complement can't do without the circuit. Beside it stands what the circuit's
errors keep alone, and with as many random features, for a kept error may be nearly the whole of its site.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from acdc.errors import CircuitError
from acdc.evaluation.confidence import Interval, headline
from acdc.evaluation.held_out import prompts_text
from acdc.evaluation.meaning import cautions, shown_ratio
from acdc.evaluation.numbers import number
from acdc.evaluation.parts.completeness import Damage
from acdc.evaluation.predictions import Prediction
from acdc.evaluation.values import outcomes_from, prompt_values
from acdc.features.circuits.baselines import Baselines, measured_baselines, n_compared
from acdc.features.circuits.circuit import FeatureCircuit
from acdc.features.circuits.finding import record_of
from acdc.features.circuits.masks import Kept
from acdc.features.circuits.nodes import NodeName
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.runs import Errors, FeatureAblation, FeatureRuns
from acdc.features.circuits.steps import Step, afresh
from acdc.features.dictionary import Dictionary
from acdc.options.ranges import checked
from acdc.patching.problem import Problem
from acdc.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FeatureEvidence", "evaluate", "runs_of"]

N_SETS = 5  # of nodes that are taken out of circuit and model
N_RANDOM = 5  # circuits of as many random features


@dataclass(frozen=True)
class FeatureEvidence:
    """What a feature circuit does on some prompts.

    Attributes:
        metric: The problem's own.
        errors: What became of errors.
        intervals: `headline`'s: every metric by `model`, `circuit`, `complement` and `corrupted` (every node ablated),
            and the faithfulness of circuit and complement by each.
        baselines: The circuit's errors alone, and with random features.
        damages: What circuit and model do without some of the circuit's nodes, the largest gap first.
        warnings: What makes any circuit of this model on these prompts doubtful.
        n_seen: How many prompts the search saw; None: not known.
    """

    metric: str
    errors: str
    intervals: dict[str, dict[str, Interval]]
    baselines: Baselines
    damages: tuple[Damage, ...]
    predictions: tuple[Prediction, ...]
    warnings: tuple[str, ...]
    n_nodes: int
    n_prompts: int
    n_seen: int | None
    forward_passes: int

    @property
    def faithfulness(self) -> Interval:
        """By the problem's own metric."""
        return self.intervals["faithfulness"][self.metric]

    @property
    def of_complement(self) -> Interval:
        """The faithfulness of all nodes but the circuit's: Marks et al.'s completeness, near 0 if it is complete."""
        return self.intervals["faithfulness of the complement"][self.metric]

    def frame(self) -> "pd.DataFrame":
        """One row a number: `what`, `who`, `value`, `low`, `high`, `no_meaning`."""
        import pandas as pd

        rows = [
            {"what": what, "who": who, "value": x.value, "low": x.low, "high": x.high, "no_meaning": x.no_meaning}
            for what, group in self.intervals.items()
            for who, x in group.items()
        ]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        return asdict(self)

    def summary(self) -> str:
        """The main numbers in a few lines."""
        own = self.intervals[self.metric]
        means = ", ".join(f"{who} {number(each.value)}" for who, each in own.items())
        worst = self.damages[0]
        without = f"without {len(worst.removed):,} of its nodes" if worst.removed else "with nothing taken out"
        gap = f"largest gap {number(worst.gap)} {self.metric}, {without}"
        return "\n".join(
            [
                f"on {prompts_text(self.n_prompts, self.n_seen)}:",
                f"faithfulness {_shown(self.faithfulness)} by {self.metric}",
                *self._baselines(),
                f"of the complement {_shown(self.of_complement)}",
                f"{self.metric}: {means}",
                f"under damage: {gap}",
                *(f"caution: {each}" for each in self.warnings),
            ]
        )

    def _baselines(self) -> Iterator[str]:
        alone, drawn = self.baselines.errors_alone, [x for x in self.baselines.random if x is not None]
        if alone is not None:
            yield f"of its errors alone {shown_ratio(alone, None)}"
        if drawn:
            ends = f" [{number(min(drawn))}, {number(max(drawn))}]"
            what = "of as many random features" + ("" if alone is None else " and its errors")
            shared = f", which have {self.baselines.overlap:.0%} of its features" if self.baselines.overlap else ""
            yield f"{what} {number(sum(drawn) / len(drawn))}{ends} in {len(drawn)} draws{shared}"


def evaluate(
    circuit: FeatureCircuit,
    problem: Problem,
    dictionaries: Sequence[Dictionary],
    *,
    errors: Errors | None = None,
    seen: PromptBatch | None = None,
    n_sets: int = N_SETS,
    n_random: int = N_RANDOM,
    memory: int | None = None,
    step: Step = afresh,
    progress: Tell | None = None,
) -> FeatureEvidence:
    """Measure a circuit on a problem's prompts, held-out ones for example.

    Args:
        problem: Its prompts are split by the spans that the circuit's nodes are of.
        dictionaries: Those that the circuit is of.
        errors: What becomes of errors; as in the search if None.
        seen: The search's prompts, to tell how many of these it saw.
        n_sets: How many sets of the circuit's nodes, each with half of them, are drawn and taken out.
        n_random: How many circuits of random features it is compared with.
        step: What keeps finished runs: see `acdc.features.circuits.steps`.

    Raises:
        CircuitError: The circuit is of other dictionaries or spans.
        ModelError: A dictionary isn't of this model.
    """
    runs = runs_of(circuit, problem, dictionaries, errors=errors, memory=memory)
    passes = 3 + n_compared(circuit, n_random) + 2 * (1 + n_sets)
    measured = _Measured(runs, len(runs.pieces) * passes, step, progress)
    kept, spans = Kept.of(runs.placed, circuit.spans, circuit.names), problem.batch.spans
    logits = {
        "model": problem.clean.logits,
        "circuit": measured.logits(kept),
        "corrupted": measured.logits(Kept.all(runs.placed, spans, False)),
        "complement": measured.logits(~kept),
    }
    each = {who: prompt_values(problem, found) for who, found in logits.items()}
    outcomes = outcomes_from(problem, logits, each, forward_passes=passes)
    return FeatureEvidence(
        metric=outcomes.metric,
        errors=runs.errors,
        intervals=headline(outcomes),
        baselines=measured_baselines(runs, circuit, n_random, measured.mean, outcomes.values[outcomes.metric]),
        damages=_damages(measured, circuit, kept, n_sets),
        predictions=outcomes.predictions,
        warnings=cautions(outcomes),
        n_nodes=len(circuit.nodes),
        n_prompts=outcomes.n_prompts,
        n_seen=_n_seen(circuit, problem, seen),
        forward_passes=passes,
    )


def runs_of(
    circuit: FeatureCircuit,
    problem: Problem,
    dictionaries: Sequence[Dictionary],
    *,
    errors: Errors | None = None,
    memory: int | None = None,
) -> FeatureRuns:
    """Runs of a circuit's dictionaries on a problem's prompts.

    Raises:
        CircuitError: The circuit is of other dictionaries or spans.
        ModelError: A dictionary isn't of this model.
    """
    placed = Placed.on(problem.model, dictionaries)
    given = {each.writes: each for each in map(record_of, dictionaries)}
    for record in circuit.dictionaries:
        there = given.pop(record.writes, None)
        if there is None or there.sha256 != record.sha256:
            came = "none is given there" if there is None else f"{there.name!r} has other weights"
            raise CircuitError(f"the circuit is of dictionary {record.name!r} at {record.writes}, but {came}")
    if given:
        raise CircuitError(f"the circuit has no dictionary at {next(iter(given))}, where one is given: leave it out")
    if problem.batch.spans != circuit.spans:
        names = ", ".join(circuit.spans) or "none"
        raise CircuitError(f"the circuit's nodes are of the spans {names}: split the prompts by the same (split_as)")
    chosen: Any = circuit.errors if errors is None else checked("errors", Errors, errors)
    ablation: Any = checked("ablation", FeatureAblation, circuit.ablation)
    return FeatureRuns(problem, placed, ablation, chosen, memory)


class _Measured:
    """Circuits' logits, with progress."""

    def __init__(self, runs: FeatureRuns, total: int, step: Step, progress: Tell | None) -> None:
        self.runs, self.total, self.step, self.progress, self.done, self.asked = runs, total, step, progress, 0, 0

    def logits(self, kept: Kept) -> Tensor:
        return self._take("logits", kept, lambda logits: logits).to(self.runs.problem.clean.logits)

    def mean(self, kept: Kept) -> float:
        """The mean of the problem's metric."""
        problem, name = self.runs.problem, self.runs.problem.objective.metric.name

        def mean(logits: Tensor) -> Tensor:
            return torch.tensor(prompt_values(problem, logits)[name].mean(), dtype=torch.float64)

        return float(self._take("mean", kept, mean))

    def _take(self, what: str, kept: Kept, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Questions come in an order that the circuit decides, and are told apart by their numbers."""
        self.asked += 1
        found = self.step(f"evaluation-{self.asked}", lambda: {what: of(self.runs.logits(kept, note=self._note))})
        self.done = self.asked * len(self.runs.pieces)
        return found[what]

    def _note(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(Progress(self.done, self.total, stage="evaluation", unit="runs"))


def _damages(measured: _Measured, circuit: FeatureCircuit, kept: Kept, n_sets: int) -> tuple[Damage, ...]:
    """What circuit and model do without each of some sets of the circuit's nodes, and without none."""
    rng, runs = random.Random(f"damage {measured.runs.problem.seed}"), measured.runs
    drawn = partial(filter, lambda _: rng.random() < 0.5)
    sets: list[list[NodeName]] = [[], *(list(drawn(circuit.names)) for _ in range(n_sets))]
    found = []
    for removed in sets:
        without = ~Kept.of(runs.placed, circuit.spans, removed)
        of_circuit, of_model = measured.mean(kept & without), measured.mean(without)
        how = "sampled" if removed else "none"
        found.append(Damage(tuple(map(str, removed)), of_circuit, of_model, abs(of_circuit - of_model), how))
    return tuple(sorted(found, key=lambda damage: -damage.gap))


def _n_seen(circuit: FeatureCircuit, problem: Problem, seen: PromptBatch | None) -> int | None:
    if seen is not None:
        return problem.batch.n_shared(seen)
    return problem.batch.n_pairs if problem.batch.fingerprint == circuit.prompts_sha256 else None


def _shown(interval: Interval) -> str:
    ends = f" [{number(interval.low)}, {number(interval.high)}]" if interval.low is not None else ""
    return shown_ratio(interval.value, None) + ends + (f" (no meaning: {why})" if (why := interval.no_meaning) else "")
