"""Heat maps: every number, word and hatch is in the file, whatever the words are."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from acdc.drawing.heat_map import HeatMap, draw_heat_map
from acdc.drawing.maps import lens_map, patching_map
from acdc.errors import RunError
from acdc.interpret.explanation import Lens, PatchingMap


def words(path: Path) -> list[str]:
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    return [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")]


def lens() -> Lens:
    tokens = [" the", "</script>", "\n", "$x$", "שלום"]
    rows = ["resid_pre 0", "resid_post 0"]
    return Lens(
        kind="logit lens",
        prompt=0,
        rows=rows,
        columns=tokens,
        top=[[[(token, 0.5)] for token in reversed(tokens)] for _ in rows],
        probability=[[0.0, 0.25, 0.5, 0.75, 1.0], [1.0, None, 0.5, 0.25, 0.0]],
        kl=[[3.0] * 5, [0.0] * 5],
    )


def test_a_lens_is_drawn_with_its_tokens(tmp_path: Path) -> None:
    path = draw_heat_map(lens_map(lens()), tmp_path / "lens.svg")
    found = words(path)
    for token in ("␣the", "</script>", "\\n", "$x$", "שלום"):
        assert found.count(token) == 3  # of its column, and in both rows
    assert "resid_post 0" in found and "probability of the answer" in found
    assert path.read_bytes() == draw_heat_map(lens_map(lens()), tmp_path / "again.svg").read_bytes()


def test_a_patching_map_is_drawn(tmp_path: Path) -> None:
    section = PatchingMap(
        direction="noising",
        site="resid_pre",
        metric="logit_diff",
        rows=["0", "1"],
        columns=["a", "b", "c"],
        values=[[0.0, -0.5, 1.0], [None, 0.2, 0.3]],
        clean=3.0,
        corrupt=-1.0,
        n_prompts=12,
        trivial=[(0, 2)],
    )
    heat = patching_map(section)
    assert heat.both_ways and heat.shaded == [(0, 2)]
    path = draw_heat_map(heat, tmp_path / "map.svg")
    assert any("12 prompts" in word for word in words(path)) and "noising, resid_pre" in words(path)
    assert "pattern" in path.read_text()  # the hatch
    plain = draw_heat_map(HeatMap(heat.rows, heat.columns, heat.values), tmp_path / "plain.svg")
    assert "<pattern" not in plain.read_text()


def test_of_a_patching_map_of_many_rows_the_strongest_are_drawn() -> None:
    section = PatchingMap(
        direction="denoising",
        site="z_by_pos",
        metric="kl",
        rows=[f"a{i}.h0" for i in range(100)],
        columns=["0", "1", "2", "3"],
        values=[[i / 100, -i / 200, 0.0, None] for i in range(100)],
        clean=0.0,
        corrupt=1.0,
        n_prompts=1,
        trivial=[(99, 2), (0, 2)],
    )
    heat = patching_map(section)
    assert list(heat.rows) == section.rows[36:] and list(heat.values) == section.values[36:]
    assert heat.title == "denoising, z_by_pos (64 of 100 rows, of the largest effects)"
    assert heat.shaded == [(63, 2)] and not heat.texts and "mean of 1 prompt;" in heat.note


def test_what_can_t_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no cell"):
        draw_heat_map(HeatMap([], [], []), tmp_path / "a.svg")
    with pytest.raises(RunError, match="too large to draw"):
        draw_heat_map(HeatMap(["a"], ["b"] * 1000, [[0.0] * 1000]), tmp_path / "a.svg")
    with pytest.raises(RunError, match="must be one of svg, png, pdf"):
        draw_heat_map(lens_map(lens()), tmp_path / "a.gif")
