"""A steering chart has a panel for neutral text where that was measured, and a broken line where it was taken out."""

from pathlib import Path

import pytest

from acdc.drawing import draw_steering
from acdc.errors import RunError
from acdc.interpret.explanation import Estimate, Steering


def table(kl: list[float | None]) -> Steering:
    metric = [Estimate(value=-1.0, low=-2.0, high=0.0), Estimate(value=4.0), Estimate(value=1.0)]
    name = {"direction": "difference of means", "site": "resid_pre 1", "metric_name": "logit_diff"}
    return Steering(**name, strengths=[1.0, 0.0, None], metric=metric, neutral_kl=kl)


def test_neutral_text_has_its_panel_where_it_was_measured(tmp_path: Path) -> None:
    both = draw_steering([table([0.4, 0.0, 0.1])] * 2, tmp_path / "both.svg").read_text()
    alone = draw_steering([table([None] * 3)], tmp_path / "alone.svg").read_text()
    assert "KL on neutral text, nats" in both and "logit_diff on held-out prompts" in both
    assert "neutral text" not in alone and "difference of means" in alone
    assert both.count("stroke-dasharray") > alone.count("stroke-dasharray") > 0


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the ending must be one of"):
        draw_steering([table([None] * 3)], tmp_path / "chart.txt")
