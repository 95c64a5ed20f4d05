"""A device on which starting work is slow tries more edges at once; the CPU's numbers are constants."""

import math

import pytest
import torch

from acdc.patching.exact.cost import Cost
from acdc.patching.exact.device_speed import CPU, DeviceSpeed, measured, speed_of
from acdc.patching.exact.speculation import _Width
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from tests.tiny import tiny_batch, tiny_model

COST = Cost(memory=1000, flops=10**8, weights=10**6, layers=10)


def test_the_cpu_is_not_measured_so_that_two_runs_ask_the_same() -> None:
    assert speed_of(torch.device("cpu"), torch.float32) == CPU


@pytest.mark.slow
def test_a_measured_speed_is_rounded_and_plausible() -> None:
    speed = measured(torch.device("cpu"), torch.float32)
    assert all(math.log(x, 4).is_integer() for x in speed)
    assert 10**3 < speed.layer < 10**10 and 0.1 < speed.byte < 10**4  # from a thousand operations for a kernel


def test_the_slower_a_device_starts_the_more_edges_are_tried_at_once() -> None:
    widths = [_Width(None, 10**9, DeviceSpeed(start, start, 1), held=50.0).best(COST) for start in (0, 10**9, 10**12)]
    assert widths == sorted(widths) and widths[0] < widths[2]


def test_memory_bounds_the_width_whatever_the_speed() -> None:
    assert _Width(None, 2500, DeviceSpeed(10**12, 10**12, 1)).best(COST) <= 2


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_the_layers_that_a_question_touches_are_counted(family: str) -> None:
    state = CircuitState(Problem.make(tiny_model(family), tiny_batch()))
    graph = state.graph
    counts = [state.cost([graph.mlp_dst(layer)]).layers for layer in range(graph.n_layers)]
    assert counts == list(range(graph.n_layers, 0, -1))
    assert state.cost([graph.n_dst - 1]).layers == 0
