"""What the sections of an explanation will cost, before anything is measured, and which of them are afforded."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from acdc.interpret.sections import Section
from acdc.interpret.subject import Subject
from acdc.patching.activations import run
from acdc.progress import Progress, Tell, roughly

__all__ = ["SectionForecast", "planned", "tell_total"]

ONE_TOKEN = "it reads one position of a prompt, and these answers have several tokens, each asked for at its own"


@dataclass(frozen=True)
class SectionForecast:
    """What a section will cost.

    Attributes:
        forward_passes: About so many, of the held-out prompts.
        seconds: What these take here and now.
        left_out: Why it isn't measured; None where it is.
    """

    name: str
    summary: str
    forward_passes: float
    seconds: float
    left_out: str | None = None


def planned(
    chosen: Sequence[Section], subject: Subject, seconds: float | None, *, measured: Sequence[str] = ()
) -> tuple[SectionForecast, ...]:
    """What each section costs, and which of them are afforded; what is measured already costs nothing."""
    speed, left = _seconds_of_pass(subject), seconds
    found = []
    for section in chosen:
        if subject.of_whole_answers and not section.whole_answers:
            found.append(SectionForecast(section.name, section.summary, 0.0, 0.0, ONE_TOKEN))
            continue
        passes = 0.0 if section.name in measured else section.cost(subject)
        takes = passes * speed
        reason = None
        if left is not None and takes > left:
            reason = f"it would take about {roughly(takes)}; acdc explain --only {section.name} measures it"
        elif left is not None:
            left -= takes
        found.append(SectionForecast(section.name, section.summary, passes, takes, reason))
    return tuple(found)


def _seconds_of_pass(subject: Subject) -> float:
    """The faster of two forward passes of the held-out prompts."""
    took, problem = list[float](), subject.problem
    for _ in range(2):
        start = time.perf_counter()
        run(problem.model, problem.batch, problem.batch.clean)
        took.append(time.perf_counter() - start)
    return min(took)


def tell_total(plan: Sequence[SectionForecast], tell: Tell | None) -> None:
    if tell is None:
        return
    total = sum(each.seconds for each in plan if each.left_out is None)
    n = sum(each.left_out is None for each in plan)
    tell(Progress(0, 0, stage=f"{n} sections", note=f"about {roughly(max(1.0, total))}"))
