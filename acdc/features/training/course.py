"""The course of a training: the steps of all dictionaries at once, what is told on the way, and what is kept of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from acdc.features.training.learner import Learner, Step
from acdc.features.training.place import Place
from acdc.features.training.stream import Stream, Values
from acdc.progress.progress import Progress, Tell, roughly

__all__ = ["Course", "Keeper"]

EVERY = 15.0  # seconds between two times that the state is written
TIMES = 20  # or so many times what writing it takes, where that is more
ROWS = 200  # of the table of a training
FORECAST = 3  # steps after which the cost is told


@runtime_checkable
class Keeper(Protocol):
    """Where a stopped training is kept."""

    def read(self) -> dict[str, Tensor] | None:
        """What was kept; None where nothing was."""
        ...

    def write(self, state: Mapping[str, Tensor]) -> None:
        """Replace what is kept."""
        ...


@dataclass
class Course:
    """Dictionaries that are trained together.

    Attributes:
        places: Of each.
        steps: How many there are; `done` so far.
        history: The rows of their tables: of each some steps one for each dictionary.
    """

    learners: Sequence[Learner]
    places: Sequence[Place]
    steps: int
    done: int
    history: list[list[list[float]]]

    @classmethod
    def of(
        cls, learners: Sequence[Learner], places: Sequence[Place], steps: int, state: Mapping[str, Tensor] | None
    ) -> "Course":
        """One that begins, or goes on from a state that was kept."""
        if state is None:
            return cls(learners, places, steps, 0, [])
        for i, learner in enumerate(learners):
            mark = f"{i}."
            learner.restore({name.removeprefix(mark): value for name, value in state.items() if name.startswith(mark)})
        return cls(learners, places, steps, int(state["step"]), state["history"].tolist())

    def run(self, stream: Stream, keep: Keeper | None, progress: Tell | None) -> None:
        """Take all steps that are left. The state is kept now and then, when something stops it between two, and in the
        end, since what is measured then takes its time too."""
        began, start, cost = time.monotonic(), self.done, 0.0
        written = began
        for _, values in zip(range(start, self.steps), stream.batches(start), strict=False):
            found = self._step(values)
            try:
                if progress is not None:
                    progress(self._told(found, self._forecast(stream, start, time.monotonic() - began)))
            except BaseException:
                if keep is not None:
                    keep.write(self.state())
                raise
            if keep is not None and (now := time.monotonic()) - written > max(EVERY, TIMES * cost):
                keep.write(self.state())
                written = time.monotonic()
                cost = written - now
        if keep is not None and self.done > start:
            keep.write(self.state())

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on."""
        each = (learner.state().items() for learner in self.learners)
        found = {f"{i}.{name}": value for i, items in enumerate(each) for name, value in items}
        rows = torch.tensor(self.history, dtype=torch.float64)
        return found | {"step": torch.tensor(self.done), "history": rows}

    def _step(self, values: Values) -> list[Step]:
        pairs = zip(self.learners, self.places, strict=True)
        found = [learner.step(*place.of(values), self.done) for learner, place in pairs]
        if self.done % max(1, self.steps // ROWS) == 0 or self.done == self.steps - 1:
            self.history.append([[float(self.done), *each] for each in found])
        self.done += 1
        return found

    def _forecast(self, stream: Stream, start: int, seconds: float) -> str:
        """How long what is left will take: said once, after a few steps."""
        if self.done - start != FORECAST:
            return ""
        left = self.steps - self.done
        return f"takes about {roughly(seconds / FORECAST * left + stream.seconds * stream.fills_of(left))}"

    def _told(self, found: Sequence[Step], note: str) -> Progress:
        """How it stands: of several dictionaries, their mean."""
        loss, l0, explained, dead = (sum(each) / len(found) for each in zip(*found, strict=True))
        mean = f"mean of {len(found)} dictionaries: " if len(found) > 1 else ""
        now = f"{mean}loss {loss:.4g}, L0 {l0:.1f}, explained variance {explained:.1%}, dead {dead:.1%}"
        return Progress(self.done, self.steps, stage="training", unit="steps", note=note, now=now)
