"""The scripts that print README's figures: what they compute of them, and that they run."""

import time

import numpy as np
import pytest
import torch

from acdc.progress import Progress
from benchmarks import growth, real_model
from benchmarks.timing import Stopwatch, added_memory, beside

pytestmark = pytest.mark.fast


def test_a_power_law_is_found_with_its_interval() -> None:
    x = np.array([1, 2, 4, 8, 16])
    exact = growth.fitted(x, 3 * x**1.5)
    assert exact is not None and exact == pytest.approx((1.5, 1.5, 1.5))
    noise = np.exp(np.random.default_rng(0).normal(0, 0.1, (400, 5)))
    fits = [growth.fitted(x, 3 * x**1.5 * each) for each in noise]
    held = np.mean([fit is not None and fit.low <= 1.5 <= fit.high for fit in fits])
    assert 0.92 < held < 0.98  # of 95% intervals
    assert growth.fitted([1, 2, 4], [1, 0, 2]) is None


def test_a_call_is_timed_beside_its_yardstick() -> None:
    found = beside(lambda: time.sleep(0.04), lambda: time.sleep(0.01), repeats=3, clock=time.perf_counter)
    assert found.own == pytest.approx(0.04, abs=0.03) and found.own >= 0.04
    assert found.yardstick >= 0.01 and 1 < found.ratio <= 4.5


def test_memory_is_that_of_the_peak() -> None:
    def call() -> None:
        torch.ones(25_000_000).sum()

    assert added_memory(call) == pytest.approx(0.1, rel=0.2)
    assert added_memory(lambda: None) < 0.02


def test_a_stopwatch_counts_measured_edges_and_stops() -> None:
    now = iter([0.0, 1.0, 4.0, 5.0, 11.0])
    watch = Stopwatch(10, lambda: next(now))
    watch(Progress(5, 100, measured=2))
    watch(Progress(9, 100, measured=2))  # none of these took work
    watch(Progress(10, 100, measured=3))
    assert watch.each == [0.5, 0.5, 4.0] and watch.slowest_tenth == 4
    with pytest.raises(TimeoutError):
        watch(Progress(11, 100, measured=4))


def test_a_model_that_isnt_there_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    real_model.main(["--model", "./none"])
    assert capsys.readouterr().out == "skipped: there is no model folder './none'\n"


def test_rows_are_printed_of_any_model(capsys: pytest.CaptureFixture[str]) -> None:
    groups = [word for name in ("plain", "masked", "selection", "methods", "acdc") for word in ("--only", name)]
    real_model.main(["--model", "induction-compiled", "--task", "induction", "--quick", "--seconds", "1", *groups])
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and "ratio" not in line]
    names = [row[0] for row in rows]
    for name in ("plain forward", "masked forward, half of the edges", "hap, tau 5%, to its end"):
        assert name in names
    assert all(float(row[1].removeprefix("more than ").replace(",", "")) > 0 for row in rows)


def test_rows_are_printed_of_edges_split_by_span(capsys: pytest.CaptureFixture[str]) -> None:
    split = ["--positions", "spans", "--only", "masked"]
    real_model.main(["--model", "induction-compiled", "--task", "induction", "--quick", *split])
    told = capsys.readouterr().out
    assert told.startswith("induction-compiled, 506 edges") and "masked forward, all of the edges" in told


@pytest.mark.parametrize("family", growth.FAMILIES)
def test_growth_measures_every_family(family: str, capsys: pytest.CaptureFixture[str]) -> None:
    problem = growth.problem_of(growth.Shape(prompts=2, layers=2, heads=2, width=16), family)
    assert problem.model.graph.n_layers == 2 and problem.model.graph.n_heads == 2
    x, rows = [1, 2, 4], [{name: 2.0 * n**2 for name in growth.MEASURES} for n in (1, 2, 4)]
    growth.table("layers", x, rows)
    assert "| **exponent** | 2.00 (2.00 to 2.00)" in capsys.readouterr().out
