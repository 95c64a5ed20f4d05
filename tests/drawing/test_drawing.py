"""Diagrams: what the DOT and the SVG say."""

import dataclasses
import itertools
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.views import html_table
from acdc.circuits.weighted import WeightedEdge, WeightedGraph, WeightedNode
from acdc.drawing import draw, to_dot
from acdc.drawing.scene import scene_of
from acdc.drawing.svg import svg_of
from tests.circuits.examples import GRAPHS, IDS, circuit_of
from tests.drawing.pictures import EVIL, dot_edges, needs_dot, own_svg, svg_paths, svg_text


@pytest.fixture(params=GRAPHS, ids=IDS)
def circuit(request: pytest.FixtureRequest) -> Circuit:
    return circuit_of(request.param)


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


def test_a_row_that_is_too_wide_has_several_lines() -> None:
    names = [f"f{i}" for i in range(39)]
    graph = WeightedGraph(
        (*(WeightedNode(name, "feature", 0, "site") for name in names), WeightedNode("logits", "logits", 1)),
        tuple(WeightedEdge(name, "logits", weight=1.0) for name in names),
    )
    rows = scene_of(graph, title="", max_edges=None).rows
    assert [(row.label, len(row.nodes)) for row in rows] == [("site", 13), ("", 13), ("", 13), ("", 1)]
    assert [node.id for row in rows[:3] for node in row.nodes] == names
    few = scene_of(graph.strongest(20), title="", max_edges=None).rows
    assert [len(row.nodes) for row in few] == [20, 1]
