"""One picture of several circuits: every edge once, its group by colour, a legend that counts, escaped text."""

import dataclasses
import shutil
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.score_kinds import UNKNOWN
from acdc.drawing import draw_comparison
from acdc.drawing.comparison import comparison_graph, group_colors
from acdc.drawing.scene import CELL_COLOR, scene_of
from acdc.drawing.svg import CELL_HEIGHT, svg_of
from tests.circuits.examples import GRAPHS, IDS, circuit_of
from tests.circuits.test_comparison import group_of_each_edge
from tests.drawing.pictures import EVIL, dot_edges, needs_dot, svg_paths, svg_text

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["acdc", "eap", "third"]


def circuits_of(graph: Graph, n: int = 3) -> dict[str, Circuit]:
    return {name: circuit_of(graph, seed, share=0.5) for seed, name in enumerate(NAMES[:n])}


def own_svg(circuits: dict[str, Circuit]) -> str:
    return svg_of(scene_of(comparison_graph(circuits), title="", max_edges=None, colors=group_colors(circuits)))


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("graph", GRAPHS, ids=IDS)
def test_every_edge_of_any_circuit_stands_once_in_the_colour_of_its_group(graph: Graph, n: int) -> None:
    circuits = circuits_of(graph, n)
    expected = group_of_each_edge(circuits)
    graph, colors = comparison_graph(circuits), group_colors(circuits)
    drawn = {}
    for path in svg_paths(own_svg(circuits)):
        name, _, rest = path[0].text.partition(" (")
        drawn[name] = rest.split(")")[0]
        color = path.get("stroke")
        assert color == colors[expected[name]] and path.get("marker-end") == f"url(#to{color[1:]})"
    assert drawn == expected == {edge.name: edge.group for edge in graph.edges}
    assert len(svg_paths(own_svg(circuits))) == len(expected)
    for src, node, kind, style in dot_edges(graph, colors=colors, max_edges=None):
        name = f"{src}->{node}" + (f"<{kind}>" if kind else "")
        assert style["color"][:7] == colors[expected.pop(name)]
    assert not expected


def test_the_legend_counts_each_group_and_inputs_have_no_colour_of_a_group() -> None:
    circuits = circuits_of(GRAPHS[0])
    counts = Counter(group_of_each_edge(circuits).values())
    svg = own_svg(circuits)
    assert {f"{group} ({n})" for group, n in counts.items()} <= set(svg_text(svg))
    assert len(set(group_colors(circuits).values())) == 5  # all, several, and each alone
    cells = [box for box in ElementTree.fromstring(svg).iter(f"{SVG}rect") if box.get("height") == f"{CELL_HEIGHT}"]
    assert {box.get("fill") for box in cells} == {CELL_COLOR}


def test_widths_are_shares_of_each_circuits_largest_effect() -> None:
    graph = Graph(1, 1, 4)
    a = Circuit(graph, graph.mask_of(["input->m0", "m0->logits"]), torch.full((graph.n_src, graph.n_dst), 100.0))
    scores = torch.full((graph.n_src, graph.n_dst), 0.01)
    scores[graph.parse_edge("input->m0")] = -0.02
    b = Circuit(graph, graph.mask_of(["input->m0", "a0.h0->m0"]), scores)
    values = {edge.name: edge.weight for edge in comparison_graph({"a": a, "b": b}).edges}
    assert values == {"input->m0": 1.0, "m0->logits": 1.0, "a0.h0->m0": 0.5}
    unscored = comparison_graph({"a": Circuit(graph, a.mask), "b": Circuit(graph, b.mask)})
    assert {edge.weight for edge in unscored.edges} == {None}


def test_the_strongest_shares_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    circuits = circuits_of(GRAPHS[3])
    draw_comparison(circuits, tmp_path / "c.svg", max_edges=9)
    svg = (tmp_path / "c.svg").read_text()
    assert len(svg_paths(svg)) == 9 and "acdc | eap | third" in svg_text(svg)


@needs_dot
def test_graphviz_draws_names_as_text(tmp_path: Path) -> None:
    a, b = circuits_of(GRAPHS[0], 2).values()
    circuits = {EVIL: a, "b": b}
    assert "<script" not in own_svg(circuits)
    (path,) = draw_comparison(circuits, tmp_path / "c.svg")
    text = "".join(svg_text(path.read_text()))
    assert "<script" not in path.read_text() and "only <script>" in text


def test_the_legend_names_scores_of_one_kind() -> None:
    a, b = (dataclasses.replace(circuit_of(GRAPHS[0], seed), score_kind="gate") for seed in (0, 1))
    assert "width: gate as a share of its circuit's largest" in svg_text(own_svg({"a": a, "b": b}))
    b = dataclasses.replace(b, score_kind="effect")
    assert comparison_graph({"a": a, "b": b}).words is UNKNOWN
    assert "width: score as a share of its circuit's largest" in svg_text(own_svg({"a": a, "b": b}))
