"""What long work says of itself, and about how long it will still take."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Pace", "Progress", "Tell", "announce", "duration", "roughly"]


@dataclass(frozen=True)
class Progress:
    """How far work is: `done` of `total` in its own unit; `total` is 0 while nobody knows.

    Attributes:
        kept: Edges still in the circuit, those not tried yet included; 0 where that means nothing.
        stage: What is done, like "sweep 1", "gradients", "certificate".
        measured: How many of the `done` took work, where some take none: ACDC removes edges that can't matter without
            a forward pass. 0 where all do.
        unit: What is counted, like "edges", "prompts", "steps".
        part: Which part of `n_parts` this is, from 1; 0 where the work has no parts.
        note: What is to be said once and stay said, like what a part will cost.
        now: How the work stands, like a loss; it is shown until the next one comes.
    """

    done: int
    total: int
    kept: int = 0
    stage: str = ""
    measured: int = 0
    unit: str = ""
    part: int = 0
    n_parts: int = 0
    note: str = ""
    now: str = ""

    @property
    def label(self) -> str:
        """What is done, with its part.

        >>> Progress(3, 40, stage="curve", part=5, n_parts=9).label
        'part 5 of 9: curve'
        """
        return f"part {self.part} of {self.n_parts}: {self.stage}" if self.n_parts else self.stage

    @property
    def count(self) -> str:
        """How far, in words; nothing while nobody knows.

        >>> Progress(1200, 123211, 122015, "sweep 1", unit="edges").count
        '1,200 of 123,211 edges, 122,015 remain'
        """
        if not self.total:
            return ""
        kept = f", {self.kept:,} remain" if self.kept and self.unit == "edges" else ""
        return f"{min(self.done, self.total):,} of {self.total:,} {self.unit}".rstrip() + kept


Tell = Callable[[Progress], None]


def announce(tell: Tell | None, stage: str) -> None:
    """Say what begins, where anyone listens."""
    if tell is not None:
        tell(Progress(0, 0, stage=stage))


FIRST = 3.0  # seconds of a stage before which nothing is forecast
ENOUGH, SURELY = 0.005, 50  # share of a stage, and number, before which nothing is forecast for its first minute
WINDOW = 15.0  # seconds over which speed is taken, or a third of the stage where that is longer
SMOOTH = 8.0  # seconds in which a forecast gives way to a new one, or a tenth of the stage where that is longer


@dataclass(frozen=True)
class _Sample:
    time: float
    done: int
    work: int


class Pace:
    """How fast a stage is, and about how long it still takes.

        left = edges left x share of them that need measuring x seconds for a measured one

    The seconds are those of late, the share is that of the whole stage: edges that need no measuring come in crowds,
    and a crowd says little of those to come. The forecast follows new ones slowly, so that it can be read.
    """

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self.started = self._told = 0.0  # the stage's beginning, and when `left` was last asked
        self._left: float | None = None
        self._samples: deque[_Sample] = deque()

    def note(self, progress: Progress, now: float) -> None:
        """Take in how far the work is at the time `now`, in seconds."""
        before, sample = self.latest, _Sample(now, progress.done, progress.measured or progress.done)
        self.latest = progress
        is_new = before is None or (before.stage, before.part) != (progress.stage, progress.part)
        if is_new:
            self.started, self._left = now, None
        if before is None or is_new or not before.total:
            self._samples = deque([sample])
        elif progress.done > self._samples[-1].done:
            self._samples.append(sample)
        span = max(WINDOW, (now - self.started) / 3)
        while len(self._samples) > 3 and self._samples[2].time < now - span:
            del self._samples[1]  # the first stays: the share is that of the whole stage

    def elapsed(self, now: float) -> float:
        """Seconds since the stage began."""
        return now - self.started

    def left(self, now: float) -> float | None:
        """About how many seconds the stage still takes; None while too little was seen."""
        raw = self._forecast(now)
        passed, self._told = now - self._told, now
        if raw is None:
            return None
        if self._left is None:
            self._left = raw
            return raw
        expected = max(0.0, self._left - passed)
        weight = 1 - math.exp(-passed / max(SMOOTH, self.elapsed(now) / 10))
        self._left = expected + weight * (raw - expected)
        return self._left

    def _forecast(self, now: float) -> float | None:
        progress, elapsed = self.latest, self.elapsed(now)
        if progress is None or not progress.total or len(self._samples) < 2 or elapsed < FIRST:
            return None
        if elapsed < 60 and progress.done < min(ENOUGH * progress.total, SURELY):
            return None
        first, start, last = self._samples[0], self._samples[min(1, len(self._samples) - 2)], self._samples[-1]
        work, done = last.work - start.work, last.done - first.done
        if work <= 0 or done <= 0:
            return self._left
        share = (last.work - first.work) / done
        return max(0, progress.total - last.done) * share * (last.time - start.time) / work


def roughly(seconds: float) -> str:
    """A forecast in words, as coarse as it is sure.

    >>> roughly(3.0), roughly(33.0), roughly(150.0), roughly(5_500.0)
    ('5 s', '35 s', '3 min', '1 h 30 min')
    """
    step = 5 if seconds < 90 else 60 if seconds < 3600 else 600
    return duration(float(max(5, step * math.floor(seconds / step + 0.5))))


def duration(seconds: float) -> str:
    """A length of time in words, no finer than anyone needs.

    >>> duration(8.0), duration(95.0), duration(5_500.0), duration(200_000.0)
    ('8 s', '1 min 35 s', '1 h 32 min', '56 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 and whole % 60 else f"{round(whole / 60)} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if hours < 24 and minutes else f"{round(whole / 3600)} h"
