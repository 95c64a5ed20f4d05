"""The curve along which a circuit was chosen is drawn with all its points, and equally each time."""

from pathlib import Path

import pytest

from acdc.drawing import draw_selection
from acdc.errors import RunError

POINTS = [
    {"n_edges": 0, "faithfulness": 0.0},
    {"n_edges": 7, "faithfulness": 0.4},
    {"n_edges": 9, "faithfulness": None},
    {"n_edges": 21, "faithfulness": 0.93},
    {"n_edges": 123_211, "faithfulness": 1.0},
]


def test_the_figure_says_what_was_chosen_and_wanted(tmp_path: Path) -> None:
    path = draw_selection(POINTS, tmp_path / "curve.svg", n_edges=21, wanted=0.9, title="ioi on <a $model_x$>")
    text = path.read_text()
    assert "chosen: 21 edges" in text and "wanted: 0.9" in text and "&lt;a $model_x$&gt;" in text
    again = draw_selection(POINTS, tmp_path / "again.svg", n_edges=21, wanted=0.9, title="ioi on <a $model_x$>")
    assert again.read_bytes() == path.read_bytes()


def test_every_measured_point_is_drawn(tmp_path: Path) -> None:
    marks = [
        draw_selection(POINTS[:n], tmp_path / f"{n}.svg", n_edges=7).read_text().count("<use xlink:href")
        for n in (2, 3, 4, 5)
    ]
    assert marks[0] == marks[1], "what is no number is left out"
    assert marks[1] < marks[2] < marks[3]


@pytest.mark.parametrize("name", ["curve.png", "curve.pdf"])
def test_other_formats(name: str, tmp_path: Path) -> None:
    assert draw_selection(POINTS, tmp_path / name, n_edges=21).stat().st_size > 1000


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"can't draw curve.txt"):
        draw_selection(POINTS, tmp_path / "curve.txt", n_edges=21)
