"""Diagrams: what the DOT and the SVG say, in which formats, with and without the Graphviz program."""

import dataclasses
import itertools
import logging
import math
import re
import shutil
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.views import html_table
from acdc.drawing import draw, html_circuit, picture, to_dot
from acdc.drawing.scene import scene_of
from acdc.drawing.svg import svg_of
from acdc.errors import CircuitError, FileError
from tests.circuits.examples import GRAPHS, IDS, circuit_of

EVIL = '<script>alert("x")</script> & \\G "quoted" \'\\\' \n\x00 ]]> -- {brace} é'
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")


@pytest.fixture(params=GRAPHS, ids=IDS)
def circuit(request: pytest.FixtureRequest) -> Circuit:
    return circuit_of(request.param)


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)


def dot_edges(circuit: Circuit, **options: object) -> list[tuple[str, str, str, dict[str, str]]]:
    """(source, destination node, input, attributes) of the drawn edges of the DOT."""
    edges = []
    for src, dst, attributes in re.findall(
        r'^\t"?([\w.]+)"? -> (\S+) \[(.*)\]$', to_dot(circuit, **options).source, re.M
    ):
        if not src.startswith("rank"):
            node, _, port = dst.replace('"', "").partition(":")
            pairs = re.findall(r'(\w+)=("[^"]*"|\S+)', attributes)
            edges.append((src, node, port.removesuffix(":n"), {key: value.strip('"') for key, value in pairs}))
    return edges


def svg_paths(svg: str) -> list[ElementTree.Element]:
    return [path for path in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path") if path.get("stroke")]


def svg_text(svg: str) -> list[str]:
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def own_svg(circuit: Circuit, title: str | None = None) -> str:
    return svg_of(scene_of(circuit, title=title, max_edges=None))


# content


def test_every_kept_edge_stands_once_in_the_dot(circuit: Circuit) -> None:
    drawn = [f"{src}->{node}" + (f"<{kind}>" if kind else "") for src, node, kind, _ in dot_edges(circuit)]
    assert sorted(drawn) == sorted(circuit.edges)


def test_every_kept_edge_stands_once_in_the_svg(circuit: Circuit) -> None:
    titles = [path[0].text.split(":")[0] for path in svg_paths(own_svg(circuit))]
    assert sorted(titles) == sorted(circuit.edges)


def test_ranks_are_the_models_levels_in_order(circuit: Circuit) -> None:
    graph, levels = circuit.graph, []
    for block in re.findall(r"\{\n(.*?)\t\}", to_dot(circuit).source.partition("{")[2], re.S):
        assert "rank=same" in block
        levels.append(set(re.findall(r'^\t\t"?([\w.]+)"? \[', block, re.M)) - {f"rank{len(levels)}"})
    shown = [node for level in levels for node in level]
    assert sorted(shown) == sorted(circuit.nodes)
    height = {node: n for n, level in enumerate(levels) for node in level}
    for edge in circuit.edges:
        src, dst = edge.split("->")
        assert height[src] < height[graph.node_of(dst)]
    for level in levels:
        assert len({graph.layer_of(node) for node in level}) == 1


@pytest.mark.parametrize("renderer", ["dot", "svg"])
def test_width_grows_with_the_size_of_the_effect(renderer: str) -> None:
    circuit = circuit_of(Graph(4, 4, 128))
    if renderer == "dot":
        names = [
            (f"{src}->{node}" + (f"<{kind}>" if kind else ""), style) for src, node, kind, style in dot_edges(circuit)
        ]
        widths = {name: float(style["penwidth"]) for name, style in names}
    else:
        paths = svg_paths(own_svg(circuit))
        widths = {path[0].text.split(":")[0]: float(path.get("stroke-width")) for path in paths}
    scores = {name: circuit.scores[circuit.graph.parse_edge(name)].abs().item() for name in widths}
    measured = sorted((name for name in widths if not math.isnan(scores[name])), key=lambda name: scores[name])
    assert all(widths[a] <= widths[b] for a, b in itertools.pairwise(measured))
    assert widths[measured[0]] < widths[measured[-1]] / 3
    assert {widths[name] for name in widths if math.isnan(scores[name])} == {min(widths.values())}


def test_dashes_are_negative_effects_and_colours_are_inputs() -> None:
    circuit = circuit_of(Graph(4, 4, 128))
    colours: dict[str, set[str]] = {}
    for src, node, kind, style in dot_edges(circuit):
        score = circuit.scores[circuit.graph.parse_edge(f"{src}->{node}" + (f"<{kind}>" if kind else ""))].item()
        assert (style["style"] == "dashed") == (score < 0)
        colours.setdefault(kind, set()).add(style["color"][:7])
    assert sorted(colours) == ["", "k", "q", "v"] and len(set.union(*colours.values())) == 4


def test_kinds_of_nodes_differ_in_shape_and_colour() -> None:
    graph = Graph(4, 4, 128)
    source = to_dot(Circuit(graph, graph.edges_mask), max_edges=None).source
    styles = {name: re.search(rf"\t\t{name} \[(.*)\]", source).group(1) for name in ("input", "m1", "logits")}
    styles["head"] = re.search(r'\t\t"a1\.h0" \[(.*)\]', source).group(1)
    assert len({re.search(r"shape=(\w+)", style).group(1) for style in styles.values()}) == 4
    assert len({re.search(r'(?:fillcolor=|BGCOLOR=)"(#\w+)"', style).group(1) for style in styles.values()}) == 4


@pytest.mark.parametrize("scores", [True, False])
def test_the_strongest_edges_are_drawn_and_counted(scores: bool) -> None:
    circuit = circuit_of(Graph(4, 4, 128), scores=scores)
    drawn = dot_edges(circuit, max_edges=7)
    assert len(drawn) == 7 and f"the 7 strongest of {circuit.n_edges} kept edges" in to_dot(circuit, max_edges=7).source
    if scores:
        sizes = circuit.scores[circuit.mask].abs().nan_to_num().sort(descending=True).values
        names = [f"{src}->{node}" + (f"<{kind}>" if kind else "") for src, node, kind, _ in drawn]
        assert sorted(abs(circuit.scores[circuit.graph.parse_edge(name)].item()) for name in names) == sorted(
            sizes[:7].tolist()
        )


def test_the_same_circuit_gives_the_same_text(circuit: Circuit) -> None:
    twin = Circuit(circuit.graph, circuit.mask, circuit.scores, circuit.provenance)
    assert to_dot(circuit).source == to_dot(twin).source and own_svg(circuit) == own_svg(twin)


@pytest.mark.parametrize("scores", [None, "equal", "infinite", "zero"])
def test_circuits_without_telling_scores_are_drawn(scores: str | None, tmp_path: Path) -> None:
    graph = Graph(2, 2, 8)
    value = {"equal": 1.0, "infinite": math.inf, "zero": 0.0}.get(scores or "", math.nan)
    values = None if scores is None else torch.full((graph.n_src, graph.n_dst), value)
    circuit = Circuit(graph, graph.edges_mask, values)
    assert len(svg_paths(own_svg(circuit))) == len(dot_edges(circuit)) == graph.n_edges
    assert "nan" not in own_svg(circuit) + to_dot(circuit).source


def test_an_empty_circuit_is_drawn() -> None:
    circuit = Circuit.from_edges(Graph(2, 2, 8), [])
    assert {"input", "logits"} <= set(svg_text(own_svg(circuit)))
    assert "0 of 46 edges" in to_dot(circuit).source


def test_nodes_of_a_row_do_not_overlap() -> None:
    svg = own_svg(circuit_of(Graph(4, 8, 64), share=0.5))
    boxes = [
        (float(box.get("x")), float(box.get("y")), float(box.get("width")))
        for box in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
        if box.get("stroke")
    ]
    assert len(boxes) == 32
    for x, y, width in boxes:
        assert all(abs(x - other) >= width for other, row, _ in boxes if row == y and other != x)
        assert 0 <= x <= float(ElementTree.fromstring(svg).get("width")) - width


# escaping


def test_nothing_in_a_title_is_markup(circuit: Circuit) -> None:
    svg, source = own_svg(circuit, EVIL), to_dot(circuit, title=EVIL).source
    assert "<script" not in svg + source
    printable = "".join(c if c.isprintable() else " " for c in EVIL)
    assert " ".join(printable.split()) in svg_text(svg)
    assert "<script" not in html_table(dataclasses.replace(circuit, provenance={"task": EVIL}))
    assert to_dot(dataclasses.replace(circuit, provenance={"task": EVIL})).source == source


@needs_dot
@pytest.mark.parametrize("title", [EVIL, "", "<b>", "a" * 5000, "\\", '"', "\ud800"])
def test_graphviz_draws_every_title(title: str, tmp_path: Path) -> None:
    (path,) = draw(circuit_of(GRAPHS[0]), tmp_path / "circuit.svg", title=title)
    text = "".join(svg_text(path.read_text()))
    shown = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    assert shown[:100] in text and "<script" not in path.read_text()


# files


@needs_dot
@pytest.mark.parametrize(
    ("name", "start"), [("c.svg", b"<?xml"), ("c.png", b"\x89PNG"), ("c.pdf", b"%PDF"), ("C.SVG", b"<?xml")]
)
def test_formats_of_graphviz(name: str, start: bytes, tmp_path: Path) -> None:
    assert draw(circuit_of(GRAPHS[0]), tmp_path / name) == [tmp_path / name]
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.usefixtures("no_dot")
@pytest.mark.parametrize("name", ["c.dot", "c.gv"])
def test_dot_needs_no_program(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    circuit = circuit_of(GRAPHS[0])
    assert draw(circuit, tmp_path / name) == [tmp_path / name]
    assert (tmp_path / name).read_text() == to_dot(circuit).source and not caplog.records


@pytest.mark.usefixtures("no_dot")
@pytest.mark.parametrize(
    ("name", "expected"), [("c.svg", ["c.svg", "c.dot"]), ("c.png", ["c.dot"]), ("c.pdf", ["c.dot"])]
)
def test_without_graphviz_the_dot_is_written_and_help_given(
    name: str, expected: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    circuit = circuit_of(GRAPHS[0])
    with caplog.at_level(logging.WARNING):
        written = draw(circuit, tmp_path / name)
    assert [path.name for path in written] == expected and all(path.is_file() for path in written)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(expected)
    assert (tmp_path / "c.dot").read_text() == to_dot(circuit).source
    for word in ("'dot' was not found", "c.dot", "apt install", "brew install", "conda install"):
        assert word in caplog.text
    if name == "c.svg":
        assert written[0].read_text() == own_svg(circuit)


@pytest.mark.parametrize(
    ("script", "word"), [("exit 3", "failed"), ("echo oh no >&2; exit 1", "oh no"), ("sleep 9", "took longer")]
)
def test_a_broken_dot_is_as_good_as_none(
    script: str, word: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dot"
    program.write_text(f"#!/bin/sh\n{script.replace('sleep', 'exec sleep')}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    monkeypatch.setattr("acdc.drawing.render.TIMEOUT", 0.5)
    assert [path.name for path in draw(circuit_of(GRAPHS[0]), tmp_path / "c.svg")] == ["c.svg", "c.dot"]
    assert word in caplog.text


@pytest.mark.parametrize("name", ["c.jpg", "c", "svg", "c.svg.bak"])
def test_an_unknown_ending_lists_the_formats(name: str, tmp_path: Path) -> None:
    with pytest.raises(CircuitError, match=r"must be one of \.svg, \.png, \.pdf, \.dot, \.gv"):
        draw(circuit_of(GRAPHS[0]), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["c.svg", "c.dot"])
def test_a_missing_folder_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="can't write"):
        draw(circuit_of(GRAPHS[0]), tmp_path / "missing" / name)


# notebooks


@pytest.mark.parametrize("with_dot", [pytest.param(True, marks=needs_dot), False])
def test_a_notebook_shows_the_picture(with_dot: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_dot:
        monkeypatch.setattr(shutil, "which", lambda program: None)
    circuit = circuit_of(GRAPHS[0])
    page = html_circuit(circuit)
    assert {"input", "logits"} <= set(svg_text(page[page.index("<svg") : page.rindex("</div>")]))
    shown = draw(circuit, title="mine")
    assert shown == picture(circuit, title="mine") and "mine" in svg_text(shown._repr_svg_())


def test_a_notebook_shows_a_large_circuit_as_a_table() -> None:
    graph = Graph(6, 8, 64)
    scores = torch.linspace(-1, 1, graph.n_src * graph.n_dst).view(graph.n_src, graph.n_dst)
    circuit = Circuit(graph, graph.edges_mask, scores, {"task": "<script>"})
    page = html_circuit(circuit)
    assert "<svg" not in page and "<script" not in page and page == circuit._repr_html_()
    assert page.count("<tr>") == 31 and f"and {graph.n_edges - 30:,} more" in page
    assert "input-&gt;a0.h0&lt;q&gt;" in page


@pytest.mark.parametrize(
    ("kind", "width", "dashed"),
    [
        ("effect", "width: size of effect", "dashed: removing it helps"),
        ("estimated effect", "width: size of estimated effect", "dashed: removing it is estimated to help"),
        ("importance", "width: size of importance", "dashed: its score is negative"),
        (None, "width: size of score", "dashed: its score is negative"),
    ],
)
def test_the_legend_says_what_a_score_is(kind: str | None, width: str, dashed: str) -> None:
    circuit = dataclasses.replace(circuit_of(GRAPHS[0]), score_kind=kind)
    scene = scene_of(circuit, title=None, max_edges=None)
    assert scene.notes == (width, dashed)
    assert {width, dashed} <= set(svg_text(svg_of(scene)))
    assert width in to_dot(circuit).source and dashed in to_dot(circuit).source
    assert width.removeprefix("width: size of ") in html_table(circuit)
