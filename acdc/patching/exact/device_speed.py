"""How fast a device is, as far as it decides how many edges are worth trying at once.

All is said in floating-point operations: what else takes time counts as the operations that take as long. On the CPU
these are constants, so that two runs ask the same questions and get the same bits. A GPU is measured once a process,
in a few tenths of a second, and rounded to powers of four, so that most runs agree there too; no decision depends on it
but by rounding.
"""

import math
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch

__all__ = ["CPU", "DeviceSpeed", "measured", "speed_of"]

KERNELS = 60  # started by a propagation for each layer that it touches
SIDE, BYTES, REPEATS = 2048, 2**28, 20  # of what is timed: a product of matrices, a copy


class DeviceSpeed(NamedTuple):
    """Floating-point operations in the time that something takes.

    Attributes:
        start: A propagation, however small it is.
        layer: A layer that a propagation touches, however little it computes there.
        byte: A byte of weights, to be read.
    """

    start: float
    layer: float
    byte: float


CPU = DeviceSpeed(start=3e8, layer=0, byte=13)


def speed_of(device: torch.device, dtype: torch.dtype) -> DeviceSpeed:
    """The speed of a device that computes in `dtype`."""
    return CPU if device.type == "cpu" else measured(device, dtype)


@cache
def measured(device: torch.device, dtype: torch.dtype) -> DeviceSpeed:
    """The speed as measured now: of starting small work, of a product of matrices, and of reading memory."""
    small = torch.ones(8, device=device, dtype=dtype)
    matrix = torch.ones(SIDE, SIDE, device=device, dtype=dtype)
    block = torch.ones(BYTES // dtype.itemsize, device=device, dtype=dtype)
    start = _seconds(lambda: small.add_(0), device)
    flop = _seconds(lambda: matrix @ matrix, device) / (2 * SIDE**3)
    byte = _seconds(lambda: block.sum(), device) / BYTES
    return DeviceSpeed(*(_rounded(x / flop) for x in (KERNELS * start, KERNELS * start, byte)))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long it takes, when it is one of many in a row; the least of three."""
    return min(_once(work, device) for _ in range(3)) / REPEATS


def _once(work: Callable[[], object], device: torch.device) -> float:
    work()
    _wait(device)
    begun = time.perf_counter()
    for _ in range(REPEATS):
        work()
    _wait(device)
    return time.perf_counter() - begun


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _rounded(x: float) -> float:
    """To the nearest power of four."""
    return 4.0 ** round(math.log(x, 4))
