"""Part `faithfulness`: every metric with its interval, the worst prompts, and what is predicted on a few."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from acdc.evaluation.confidence import FEW, Interval, headline
from acdc.evaluation.cost import Cost
from acdc.evaluation.meaning import cautions
from acdc.evaluation.numbers import number
from acdc.evaluation.part import Line, Part
from acdc.evaluation.predictions import Prediction, prediction_lines
from acdc.evaluation.work import Work
from acdc.evaluation.worst import PromptOutcome, worst_prompts
from acdc.files import plain

__all__ = ["PART", "Faithfulness"]

LONGEST = 100  # letters of a worst prompt in the summary
SHOWN = 3  # worst prompts in the summary
DONE = {"accuracy": "accuracy", "top1_accuracy": "top-1 accuracy", "p_correct": "p(correct)"}  # how well the task is


@dataclass(frozen=True)
class Faithfulness(Part):
    """What model, circuit, complement and corrupted run do, and how near the circuit comes to the model.

    Attributes:
        metric: The run's own.
        intervals: See `headline`.
        worst_prompts: Those with the largest |circuit - model| in the metric, the worst first.
        predictions: The most probable tokens on the first prompts.
        warnings: What makes any circuit of this model on these prompts doubtful: see `cautions`.
    """

    name = "faithfulness"
    summary = "all metrics with intervals, and the worst prompts"
    order = 10
    shares_outcomes = True

    metric: str
    intervals: Mapping[str, Mapping[str, Interval]]
    worst_prompts: tuple[PromptOutcome, ...]
    predictions: tuple[Prediction, ...]
    warnings: tuple[str, ...]
    n_prompts: int
    forward_passes: int

    def __post_init__(self) -> None:
        everyone = {"model", "circuit", "complement", "corrupted"}
        needed = {"faithfulness": {self.metric}, "faithfulness of the complement": {self.metric}}
        needed |= dict.fromkeys((self.metric, *DONE), everyone)
        for name, keys in needed.items():
            if missing := keys - self.intervals.get(name, {}).keys():
                raise ValueError(f"the interval {name!r} of {min(missing)!r} is missing")

    @classmethod
    def measure(cls, work: Work) -> "Faithfulness":
        found, settings = work.outcomes, work.settings
        return cls(
            metric=found.metric,
            intervals=headline(found, level=settings.level, seed=settings.seed),
            worst_prompts=worst_prompts(work.problem, found),
            predictions=found.predictions,
            warnings=cautions(found),
            n_prompts=found.n_prompts,
            forward_passes=found.forward_passes,
        )

    def cautions(self) -> tuple[str, ...]:
        return self.warnings

    @classmethod
    def cost(cls, work: Work) -> Cost:
        return work.outcomes_cost

    def lines(self) -> Iterator[Line]:
        own, ratios = self.intervals[self.metric], self.intervals["faithfulness"]
        names = [self.metric, *(name for name in ratios if name != self.metric)]
        yield "faithfulness", "; ".join(f"{_shown(ratios[name])} by {name}" for name in names)
        complement = self.intervals["faithfulness of the complement"][self.metric]
        yield "of the complement", f"{_shown(complement)} by {self.metric}"
        if any(each.under_covers for group in self.intervals.values() for each in group.values()):
            covered = f"they cover less than {own['circuit'].level:.0%} where values are skewed"
            yield "intervals", f"of {self.n_prompts} prompts, fewer than {FEW}: {covered}"
        yield self.metric, ", ".join(f"{who} {_shown(own[who])}" for who in ("circuit", "complement", "corrupted"))
        for name, text in DONE.items():
            means = self.intervals[name]
            yield text, ", ".join(f"{who} {_shown(means[who])}" for who in ("model", "circuit", "corrupted"))
        for outcome in self.worst_prompts[:SHOWN]:
            text = outcome.clean if len(outcome.clean) <= LONGEST else f"…{outcome.clean[-LONGEST:]}"
            answers = _some(outcome.correct) + (f", not {_some(outcome.wrong)}" if outcome.wrong else "")
            yield "worst prompt", f"{self.metric} off by {number(outcome.distance)}: {text!r} ({answers})"
        for prediction in self.predictions:
            yield from prediction_lines(plain(asdict(prediction)))


def _shown(interval: Interval) -> str:
    ends = f" [{number(interval.low)}, {number(interval.high)}]" if interval.low is not None else ""
    return f"{number(interval.value)}{ends}" + (f" (no meaning: {why})" if (why := interval.no_meaning) else "")


def _some(answers: tuple[str, ...]) -> str:
    return "/".join(answer.strip() for answer in answers[:3]) + ("/…" if len(answers) > 3 else "")


PART = Faithfulness
