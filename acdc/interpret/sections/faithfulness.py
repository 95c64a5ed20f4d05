"""How much of the task the circuit does: what the answer to the question rests on."""

from acdc.evaluation.confidence import Interval, faithfulness_interval
from acdc.evaluation.values import ROUNDING, performance_metric, prompt_values
from acdc.interpret.draft import empty, number
from acdc.interpret.explanation import Explanation
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject

__all__ = ["SECTION"]


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """By the run's own metric, and by the one in which one run can beat another."""
    problem = subject.problem
    values = {who: prompt_values(problem, each) for who, each in subject.logits.items()}
    names = dict.fromkeys([problem.objective.metric.name, performance_metric(problem).name])
    rounding, found = ROUNDING[problem.model.dtype], dict[str, Interval]()
    for name in names:
        sides = (values[who][name] for who in ("circuit", "model", "corrupted"))
        found[name] = faithfulness_interval(*sides, rounding=rounding)
    accuracy = {who: float(each["accuracy"].mean()) for who, each in values.items()}
    return empty(
        extra={
            "faithfulness": {name: _plain(each) for name, each in found.items()},
            "accuracy": accuracy,
            "prompts": subject.prompts,
            "metric": problem.objective.metric.name,
            "span": number(problem.loss(subject.logits["corrupted"]) - problem.model_loss),
        }
    )


def _plain(found: Interval) -> dict[str, float | str | bool | None]:
    return {
        "value": number(found.value),
        "low": number(found.low),
        "high": number(found.high),
        "no_meaning": found.no_meaning,
        "under_covers": found.under_covers,
    }


SECTION = Section(
    "faithfulness",
    "how much of the task the circuit does",
    0,
    measure,
    lambda subject: 2.0,
    brief=True,
    whole_answers=True,
)
