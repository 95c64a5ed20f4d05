"""What a direction does when it is added or taken out: to the task, and to neutral text."""

from acdc.interpret.draft import empty, estimated, number
from acdc.interpret.explanation import Explanation, Steering
from acdc.interpret.sections.section import Section
from acdc.interpret.steering import Steered, find_direction, random_like, steer_all
from acdc.interpret.subject import Subject
from acdc.patching.problem import Problem

__all__ = ["SECTION"]

CHOSEN_ON = 32  # discovery prompts on which layer and place are chosen


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """A difference of means that was found on discovery prompts, and a random direction beside it."""
    problem, settings = subject.problem, subject.settings
    train = subject.draw(settings.n_probed, settings.seed, False)
    few = train.select(range(min(CHOSEN_ON, train.n)))
    tuned = Problem.make(problem.model, few, metric=problem.objective.metric, seed=settings.seed)
    direction = find_direction(train, tuned, label=settings.label, step=subject.step)
    found = steer_all((direction, random_like(direction)), problem, step=subject.step)
    return empty(steering=[table_of(each) for each in found])


def table_of(found: Steered) -> Steering:
    """As `explanation.json` holds it."""
    first, second = found.direction.classes
    return Steering(
        direction=f"{found.direction.what} ({found.direction.label}: from {first!r} to {second!r})",
        site=found.site,
        metric_name=found.metric,
        strengths=[row.strength for row in found.rows],
        metric=[estimated(row.metric) for row in found.rows],
        neutral_kl=[number(row.neutral_kl) for row in found.rows],
    )


def cost(subject: Subject) -> float:
    """The choice of layer and place, and each strength twice."""
    return (subject.settings.n_probed + 12 * CHOSEN_ON) / subject.problem.batch.n + 2 * 6


SECTION = Section("steering", "what a direction does when it is added or taken out", 90, measure, cost)
