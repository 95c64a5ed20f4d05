"""What an evaluation will cost, part by part, before anything is measured."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.errors import ACDCError
from acdc.evaluation.parts import PARTS
from acdc.evaluation.work import Settings, Work
from acdc.progress import announce
from acdc.progress.bars import Progressing, shown
from acdc.runs.evaluation_setup import chosen_parts, shared_work
from acdc.runs.reload import reload
from acdc.runs.result import RunResult

__all__ = ["PartForecast", "forecast"]


@dataclass(frozen=True)
class PartForecast:
    """What a part will cost.

    Attributes:
        forward_passes: At most so many, of all prompts; None where that isn't known before.
        seconds: That many times the seconds of one forward pass, which was timed. The exact engine's passes take less.
        left_out: Why it can't be measured; None where it can.
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
    stability: int = 0,
    progress: Progressing = None,
    **arguments: Any,
) -> tuple[PartForecast, ...]:
    """What `evaluate` with the same arguments would cost at most. Nothing is measured or written.

    Args:
        run, only, skip, stability, progress, arguments: As for `acdc.evaluate`; none that says where to write.

    Raises:
        ACDCError: An argument, the run, its model or its task can't be used.
    """
    chosen = chosen_parts(only, skip, stability)
    names = Settings.__dataclass_fields__
    given = Settings.check({name: value for name, value in arguments.items() if name in names})
    with shown(progress) as tell:
        announce(tell, "loading the model")
        reloaded = reload(run, **{name: value for name, value in arguments.items() if name not in names})
        work, _ = shared_work(reloaded, given, stability)
        seconds = _seconds_of_a_pass(work)
    found, outcomes_are_made = list[PartForecast](), False
    for name in chosen:
        part, made = PARTS[name], outcomes_are_made and PARTS[name].shares_outcomes
        outcomes_are_made |= part.shares_outcomes
        try:
            passes = 0 if made else part.passes(work)
        except ACDCError as error:
            found.append(PartForecast(name, part.summary, None, None, left_out=str(error)))
        else:
            found.append(PartForecast(name, part.summary, passes, None if passes is None else passes * seconds))
    return tuple(found)


def _seconds_of_a_pass(work: Work) -> float:
    """Of a masked forward of all prompts, the second time, when everything is warm."""
    for _ in range(2):
        start = time.monotonic()
        work.problem.logits(work.mask)
    return time.monotonic() - start
