"""What an evaluation will cost, part by part, before anything is measured; and which parts it can afford by default."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.errors import ACDCError, counted
from acdc.evaluation.cost import Cost, Speed
from acdc.evaluation.parts import PARTS
from acdc.evaluation.work import Settings, Work
from acdc.progress import announce, duration, roughly
from acdc.progress.bars import Progressing, shown
from acdc.runs.evaluation_setup import chosen_parts, shared_work
from acdc.runs.learning import unlearned
from acdc.runs.reload import reload
from acdc.runs.result import RunResult

__all__ = ["PartForecast", "cost_words", "forecast", "forecasts", "measured_speed", "total_of"]

SECONDS = 60.0  # that an evaluation takes by default
RUNS = 66  # or so many masked forwards of the complement, about as long as 60 times forward and backward


@dataclass(frozen=True)
class PartForecast:
    """What a part will cost.

    Attributes:
        forward_passes: At most so many, of all prompts; None where that isn't known before.
        seconds: What these take on a quiet machine, by the measured seconds of masked forwards; None where neither
            is known.
        left_out: Why it isn't measured: it can't be, or the default doesn't afford it; None where it is.
    """

    name: str
    summary: str
    forward_passes: int | None
    seconds: float | None
    left_out: str | None = None


def forecast(
    run: str | Path | RunResult | Circuit,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    thorough: bool = False,
    stability: int = 0,
    progress: Progressing = None,
    **arguments: Any,
) -> tuple[PartForecast, ...]:
    """What `evaluate` with the same arguments would cost at most. Nothing is written; three masked forwards are timed.

    Args:
        run, only, skip, thorough, stability, progress, arguments: As for `acdc.evaluate`; none that says where to
            write.

    Raises:
        ACDCError: An argument, the run, its model or its task can't be used.
    """
    chosen = chosen_parts(only, skip, stability)
    names = Settings.__dataclass_fields__
    given = Settings.check({"thorough": thorough, **{key: arguments[key] for key in names if key in arguments}})
    with shown(progress) as tell:
        announce(tell, "loading the model")
        reloaded = reload(run, **{name: value for name, value in arguments.items() if name not in names})
        work, _ = shared_work(unlearned(reloaded), given, stability, tell)
        announce(tell, "timing a forward pass")
        return forecasts(chosen, work, speed=measured_speed(work), all_of_them=thorough or bool(only))


def forecasts(chosen: Sequence[str], work: Work, *, speed: Speed | None, all_of_them: bool) -> tuple[PartForecast, ...]:
    """What each of some parts will cost, and whether it is measured.

    Args:
        speed: None where it isn't measured: then the passes alone are told.
        all_of_them: Whether all are measured that can be; if not, those that `SECONDS` or `RUNS` afford, the first ones
            first.
    """
    once = next((name for name in chosen if PARTS[name].shares_outcomes), None)  # the others take its passes
    found = [_forecast(name, work, speed, made=PARTS[name].shares_outcomes and name != once) for name in chosen]
    if all_of_them or speed is None:
        return tuple(found)
    budget = max(SECONDS, RUNS * speed.dense * work.discovery.batch.n)
    return tuple(_affordable(found, budget))


def measured_speed(work: Work) -> Speed:
    """By the masked forwards of `Work.outcomes`, which several parts read anyway."""
    return Speed.of(work.outcomes.seconds, work.problem.batch.n)


def total_of(parts: Sequence[PartForecast]) -> tuple[int, float | None]:
    """Passes and seconds of all that is measured, as far as they are known."""
    measured = [part for part in parts if part.left_out is None]
    seconds = [part.seconds for part in measured if part.seconds is not None]
    return sum(part.forward_passes or 0 for part in measured), sum(seconds) if seconds else None


def cost_words(forward_passes: int | None, seconds: float | None) -> str:
    """What something costs, in words.

    >>> cost_words(102, 150.0), cost_words(3, 0.2)
    ('at most 102 forward passes, 3 min', 'at most 3 forward passes, 1 s')
    >>> cost_words(0, 0.0), cost_words(None, None)
    ('no more forward passes', 'nobody knows how long')
    """
    if forward_passes is None:
        return "nobody knows how long"
    if not forward_passes:
        return "no more forward passes"
    passes = f"at most {counted(forward_passes, 'forward pass')}"
    return (
        passes if seconds is None else f"{passes}, {roughly(seconds) if seconds > 5 else duration(max(1.0, seconds))}"
    )


def _forecast(name: str, work: Work, speed: Speed | None, *, made: bool) -> PartForecast:
    """What one part will cost; nothing where what it rests on is made already."""
    summary = PARTS[name].summary
    try:
        cost = Cost(0) if made else PARTS[name].cost(work)
    except ACDCError as error:
        return PartForecast(name, summary, None, None, left_out=str(error))
    if cost is None:
        return PartForecast(name, summary, None, None)
    return PartForecast(name, summary, cost.passes, None if speed is None else cost.seconds(speed))


def _affordable(parts: Sequence[PartForecast], budget: float) -> Iterator[PartForecast]:
    """The parts, of which those are left out that cost more than the ones before them leave of so many seconds."""
    left = budget
    for part in parts:
        if part.left_out is not None or part.seconds is None:
            yield part
        elif part.seconds <= left:
            left -= part.seconds
            yield part
        else:
            costs = f"it takes {cost_words(part.forward_passes, part.seconds)}, too long for the default"
            how = f"--only {part.name} or --thorough measures it (only=[{part.name!r}], thorough=True)"
            yield replace(part, left_out=f"{costs}; {how}")
