"""What the benchmarks share: clocks, yardsticks, memory, limits.

Times are taken in turn with a plain forward pass of the unmodified model, in one process, and told as ratios: a busy
machine slows both. The process's own CPU time is disturbed less than the wall clock's; with several threads it counts
the work of all. On a GPU only the wall clock means anything: a call ends when the device has done its work, and memory
is the device's.
"""

import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch

from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.progress import Progress
from acdc.prompts.batch import PromptBatch

__all__ = [
    "CLOCKS",
    "Seconds",
    "Stopwatch",
    "added_memory",
    "backward_call",
    "beside",
    "forward_call",
    "forward_on",
    "resident",
    "settle",
    "timed",
]

CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}
Clock = Callable[[], float]
Call = Callable[[], object]


class Seconds(NamedTuple):
    """Medians: of a call, of the yardstick's calls around it, and of the ratio of the two."""

    own: float
    yardstick: float
    ratio: float


def forward_call(problem: Problem) -> Call:
    """A forward pass of the unmodified model on the clean prompts, with logits at the last position."""
    return forward_on(problem.model, problem.batch)


def forward_on(model: PatchableModel, batch: PromptBatch) -> Call:
    """The same on any texts: a batch's clean side."""
    hf, inputs = model.hf, _inputs(batch)

    @torch.no_grad()
    def plain() -> None:
        hf(**inputs, logits_to_keep=1)

    return plain


def backward_call(problem: Problem) -> Call:
    """The same, and the gradients of all weights."""
    hf, inputs, answers = problem.model.hf, _inputs(problem.batch), problem.batch.correct[:, :1]

    def plain() -> None:
        hf(**inputs, logits_to_keep=1).logits[:, -1].gather(1, answers).mean().backward()
        hf.zero_grad(set_to_none=True)

    return plain


def _inputs(batch: PromptBatch) -> dict[str, object]:
    return {"input_ids": batch.clean, "attention_mask": batch.attention.long(), "use_cache": False}


def beside(call: Call, yardstick: Call, *, repeats: int, clock: Clock) -> Seconds:
    """A call's seconds beside a yardstick's, which is measured before and after every time."""
    yardstick()
    own, around = [], [timed(yardstick, clock)]
    for _ in range(repeats):
        own.append(timed(call, clock))
        around.append(timed(yardstick, clock))
    ratios = [2 * each / (before + after) for each, before, after in zip(own, around, around[1:], strict=False)]
    return Seconds(*map(statistics.median, (own, around, ratios)))


def timed(call: Call, clock: Clock) -> float:
    """The seconds that a call takes by this clock."""
    settle()
    start = clock()
    call()
    settle()
    return clock() - start


def settle() -> None:
    """Waits until a GPU has done all that it was told."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def resident(field: str) -> float:
    """This process's memory in GB: `VmRSS` now, `VmHWM` at its peak (Linux)."""
    with open("/proc/self/status") as status:
        return next(float(line.split()[1]) for line in status if line.startswith(field)) / 1e6


def added_memory(call: Call) -> float:
    """What a call adds to the memory in use at its peak, in GB: the GPU's where one is used, else the process's; NaN
    where the system doesn't tell (not Linux)."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - held) / 1e9
    if sys.platform != "linux":
        return float("nan")
    gc.collect()
    with suppress(AttributeError):  # of the C library of GNU: what is free goes back, so that it isn't counted as held
        ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the peak counts from now on
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before


class Stopwatch:
    """Told how far a search is: notes the time that every measured edge took to be decided, trials in vain included,
    and stops the search after a while, by a `TimeoutError`."""

    def __init__(self, seconds: float, clock: Clock = time.perf_counter) -> None:
        self.clock = clock
        self.start = self.last = clock()
        self.end = self.start + seconds
        self.each: list[float] = []
        self.reached = Progress(0, 0)

    def __call__(self, progress: Progress) -> None:
        now, work = self.clock(), progress.measured or progress.done
        new = work - (self.reached.measured or self.reached.done)
        if new > 0:
            self.each += [(now - self.last) / new] * new
            self.last = now
        self.reached = progress
        if now > self.end:
            raise TimeoutError

    @property
    def slowest_tenth(self) -> float:
        """The mean of the slowest tenth of the edges."""
        slow = np.sort(self.each)[-max(1, len(self.each) // 10) :]
        return float(slow.mean())
