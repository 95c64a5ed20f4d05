"""What a part of an evaluation will take, said before it is measured."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

__all__ = ["Cost", "Speed", "Stopwatch"]


@dataclass(frozen=True)
class Speed:
    """Seconds of a masked forward, for each prompt.

    Attributes:
        sparse, dense: Of the circuit, and of its complement: the more nodes are kept, the longer it takes.
    """

    sparse: float
    dense: float

    @classmethod
    def of(cls, seconds: Mapping[str, float], n_prompts: int) -> "Speed":
        """From the seconds of `Outcomes`, which are those of all prompts."""
        return cls(seconds["circuit"] / n_prompts, seconds["complement"] / n_prompts)


@dataclass(frozen=True)
class Cost:
    """At most what a part takes.

    Attributes:
        passes: Forward passes of all prompts: masked forwards, and copies of the batch on the exact engine.
        sparse, dense: What they come to in masked forwards of one prompt, of graphs like the circuit and like its
            complement. A question to the exact engine is a share of one: see `work_of_knock_outs`.
    """

    passes: int
    sparse: int | float = 0
    dense: int | float = 0

    def seconds(self, speed: Speed) -> float:
        """How long that takes."""
        return self.sparse * speed.sparse + self.dense * speed.dense


class Stopwatch:
    """Seconds of work from here on; on a CPU those that a quiet machine would take, since others may be using it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._wait()
        self._started, self._worked = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        """How many they are by now."""
        self._wait()
        passed, worked = time.perf_counter() - self._started, time.process_time() - self._worked
        return min(passed, worked) if self.device.type == "cpu" else passed

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
