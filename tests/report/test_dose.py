"""Steering's chart: each strength stands where its number is, and what wasn't measured stands nowhere."""

import pytest

from acdc.interpret.draft import empty
from acdc.interpret.explanation import Estimate, Steering
from acdc.report.dose import _levels, dose_panels


def table(direction: str, metric: list[Estimate], kl: list[float | None]) -> Steering:
    return Steering(direction=direction, site="here", strengths=[1.0, 0.0, None], metric=metric, neutral_kl=kl)


OWN = [Estimate(value=-1.0, low=-2.0, high=0.0), Estimate(value=4.0, low=3.0, high=5.0), Estimate(value=1.0)]


def test_strengths_stand_from_left_to_right_and_larger_numbers_above() -> None:
    (metric, neutral) = dose_panels(
        empty(steering=[table("own", OWN, [0.4, 0.0, 0.1]), table("random", OWN, [0.1] * 3)])
    )
    (own, other) = metric.series
    assert (own.kind, other.kind) == ("own", "other")
    (clean, pushed) = own.marks
    assert clean.x < pushed.x and clean.y < pushed.y and own.out is not None and clean.y < own.out < pushed.y
    assert pushed.low > pushed.y > pushed.high and "[\N{MINUS SIGN}2, 0]" in pushed.title
    ticks = {tick.text: tick.at for tick in metric.y_ticks}
    assert ticks["4"] == pytest.approx(clean.y) and ticks["0"] == pytest.approx(pushed.high)
    assert [tick.text for tick in metric.x_ticks] == ["0", "1"]
    assert neutral.series[0].marks[1].low == neutral.series[0].marks[1].y, "no interval was measured"


def test_what_was_not_measured_has_no_chart() -> None:
    assert dose_panels(empty()) == []
    assert [panel.name for panel in dose_panels(empty(steering=[table("own", OWN, [None] * 3)]))] == [
        "metric on held-out prompts"
    ]


@pytest.mark.parametrize("low, high", [(0.0, 0.0), (-1e-4, 3e-4), (-7.0, 123.0), (0.0, 1.0)])
def test_levels_hold_the_range_in_a_handful(low: float, high: float) -> None:
    levels = _levels(low, high)
    assert levels[0] <= low and levels[-1] >= high and 1 <= len(levels) <= 8 and 0.0 in levels
