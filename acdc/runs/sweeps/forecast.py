"""About how long a sweep's cells will take: as long as runs like them did, or as the first seconds of a trial tell."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from acdc.errors import ACDCError
from acdc.progress import Pace, Progress, Tell, announce
from acdc.runs.result import read_record
from acdc.runs.sweeps.cells import PlannedCell

__all__ = ["CellForecast", "forecast_cells", "total_seconds"]


@dataclass(frozen=True)
class CellForecast:
    """What a cell will take.

    Attributes:
        seconds: None where nobody knows.
        at_least: Whether it may take longer: a trial saw the first stage of the search alone.
        basis: What it is told by: done, runs like it, a trial, or nothing; or why it can't be run.
    """

    seconds: float | None
    at_least: bool = False
    basis: str = ""


def forecast_cells(cells: Sequence[PlannedCell], *, trial: float, tell: Tell | None) -> list[CellForecast]:
    """A forecast for each cell.

    A finished run of the same task, model, method and options tells best; its seconds are taken in proportion to the
    number of prompts. Else the search is tried, once for all cells that differ in seed alone.

    Args:
        trial: Seconds of each trial, loading aside; 0 loads nothing.
    """
    like: dict[str, list[float]] = {}
    for cell in cells:
        if cell.run is not None:
            like.setdefault(_kind(cell, "seed", "n"), []).append(_seconds_of(cell) / cell.cell.n)
    tried: dict[str, CellForecast] = {}
    found = []
    for place, cell in enumerate(cells):
        if cell.run is not None:
            found.append(CellForecast(0.0, basis="done"))
        elif known := like.get(_kind(cell, "seed", "n")):
            found.append(CellForecast(median(known) * cell.cell.n, basis="runs like it"))
        elif not trial:
            found.append(CellForecast(None, basis="no run like it"))
        else:
            if (kind := _kind(cell, "seed")) not in tried:
                announce(tell, f"trying cell {place + 1} of {len(cells)}: {cell.cell}")
                tried[kind] = _tried(cell, trial)
            found.append(tried[kind])
    return found


def total_seconds(found: Sequence[CellForecast], jobs: int) -> tuple[float, bool]:
    """Seconds of all cells with so many at a time, as far as they are known; and whether it may take longer."""
    seconds = [each.seconds for each in found if each.seconds is not None]
    longer = any(each.at_least or each.seconds is None for each in found)
    return max(sum(seconds) / jobs, max(seconds, default=0.0)), longer


def _kind(cell: PlannedCell, *without: str) -> str:
    return str({name: value for name, value in cell.cell.model_dump().items() if name not in without})


def _seconds_of(cell: PlannedCell) -> float:
    assert cell.run is not None
    return float(read_record(cell.run)["seconds"]["total"])


class _Enough(Exception):
    """A trial is over."""


def _tried(cell: PlannedCell, seconds: float) -> CellForecast:
    """What the first seconds of the cell's own search tell."""
    start = time.monotonic()
    try:
        problem = cell.arguments.problem(cell.arguments.model.load())
        loading = time.monotonic() - start
        watch = _Watch(seconds)
        try:
            cell.arguments.search(problem, progress=watch.note)
        except _Enough:
            left = watch.pace.left(time.monotonic())
            return CellForecast(loading + watch.elapsed + (left or 0.0), at_least=True, basis="a trial")
        return CellForecast(loading + watch.elapsed, basis="a trial, to its end")
    except ACDCError as error:
        return CellForecast(None, basis=str(error))


class _Watch:
    """Follows a search, and stops it after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.pace, self.start = Pace(), time.monotonic()
        self.end = self.start + seconds

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.start

    def note(self, progress: Progress) -> None:
        """Take in how far the search is.

        Raises:
            _Enough: The time is over.
        """
        now = time.monotonic()
        self.pace.note(progress, now)
        if now > self.end:
            raise _Enough
