"""Steering as a chart of a page: strength against the metric with its interval, and against what neutral text loses.

It is drawn here, not by the script: a chart of a dozen points needs no scale that moves.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acdc.interpret.explanation import Estimate, Explanation, Steering
from acdc.report.text import estimate, number

__all__ = ["Mark", "Panel", "Series", "Tick", "dose_panels"]

WIDTH, HEIGHT = 340, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 42  # of a panel, around its axes
KINDS = ("own", "other")  # how a direction is drawn: the first, and those that it is held against
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Tick:
    """A place of an axis, and its number."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A measured strength: where it stands, its interval's ends, and what hovering says."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class Series:
    """A direction's marks, and the height of what is measured where it is taken out; None: that isn't known."""

    name: str
    kind: str
    marks: tuple[Mark, ...]
    out: float | None

    @property
    def path(self) -> str:
        """The line through the marks."""
        return " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in self.marks)


@dataclass(frozen=True)
class Panel:
    """One of the two charts, in the units of its `width` and `height`."""

    name: str
    series: tuple[Series, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def dose_panels(told: Explanation) -> list[Panel]:
    """The metric's panel, and that of neutral text where it was measured."""
    metric = [list(table.metric) for table in told.steering]
    neutral = [[Estimate(value=kl) for kl in table.neutral_kl] for table in told.steering]
    name = next((table.metric_name for table in told.steering if table.metric_name), "metric")
    named = ((f"{name} on held-out prompts", metric), ("KL on neutral text, nats", neutral))
    found = [_panel(name, told.steering, rows) for name, rows in named]
    return [panel for panel in found if any(series.marks for series in panel.series)]


def _panel(name: str, tables: Sequence[Steering], rows: Sequence[Sequence[Estimate]]) -> Panel:
    doses = sorted({dose for table in tables for dose in table.strengths if dose is not None})
    heights = [end for row in rows for each in row for end in (each.value, each.low, each.high) if end is not None]
    levels = _levels(min([0.0, *heights]), max([0.0, *heights]))
    across, up = _scale(doses, LEFT + RIGHT, WIDTH - RIGHT), _scale(levels, HEIGHT - BOTTOM, TOP)
    return Panel(
        name,
        tuple(
            _series(KINDS[min(i, 1)], table, row, across, up)
            for i, (table, row) in enumerate(zip(tables, rows, strict=True))
        ),
        tuple(Tick(across(dose), number(dose)) for dose in doses),
        tuple(Tick(up(level), number(level)) for level in levels),
    )


def _series(kind: str, table: Steering, row: Sequence[Estimate], across: Scale, up: Scale) -> Series:
    pairs = [(dose, each) for dose, each in zip(table.strengths, row, strict=True) if each.value is not None]
    marks = [_mark(dose, each, across, up) for dose, each in pairs if dose is not None]
    out = [up(each.value) for dose, each in pairs if dose is None and each.value is not None]
    return Series(table.direction, kind, tuple(sorted(marks, key=lambda mark: mark.x)), out[0] if out else None)


def _mark(dose: float, found: Estimate, across: Scale, up: Scale) -> Mark:
    assert found.value is not None, "what isn't known has no mark"
    low, high = (found.value if end is None else end for end in (found.low, found.high))
    return Mark(across(dose), up(found.value), up(low), up(high), f"strength {number(dose)}: {estimate(found)}")


def _scale(values: Sequence[float], first: int, last: int) -> Scale:
    """From the smallest of the values at `first` to the largest at `last`."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    width = high - low or 1.0
    return lambda value: round(first + (value - low) / width * (last - first), 1)


def _levels(low: float, high: float) -> list[float]:
    """Round numbers around a range: about five, by steps of 1, 2 or 5 times a power of ten.

    >>> _levels(-0.3, 4.2)
    [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    rough = (high - low) / 5 or 0.2
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough * 0.999)
    return [round(i * step, 12) for i in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]
