"""Pictures of circuits whose edges are split by span: a column for each, and dotted lines where heads read across."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.influence import readers
from acdc.circuits.weighted import weighted_graph
from acdc.drawing import draw, render
from acdc.drawing.emphasis import in_front
from acdc.drawing.layout import layout_of
from acdc.drawing.scene import scene_of
from tests.drawing.pictures import own_svg, svg_text
from tests.report.samples import split_circuit

SPLIT = Graph(n_layers=2, n_heads=2, d_model=8).split(("IO", "S2", "end"))


def test_each_span_has_a_column_and_nodes_and_lines_keep_to_theirs() -> None:
    scene = scene_of(split_circuit(), title="", max_edges=None)
    layout = layout_of(scene, 100.0)
    assert tuple(column.name for column in layout.columns) == scene.columns == ("IO", "S2", "end")
    assert all(a.left + a.width < b.left for a, b in pairwise(layout.columns))
    places = [*layout.nodes.values(), *(place for line in layout.lines.values() for place in line)]
    for place in places:
        assert place.column.left - 1e-6 <= place.x - place.width / 2
        assert place.x + place.width / 2 <= place.column.left + place.column.width + 1e-6
    for row in scene.rows:
        assert all(layout.nodes[node.id].column.name == node.span for node in row.nodes)
        ends = sorted((layout.nodes[node.id].x, layout.nodes[node.id].width) for node in row.nodes)
        assert all(x + w / 2 <= y - v / 2 + 1e-6 for (x, w), (y, v) in pairwise(ends))


def test_columns_stand_in_the_prompts_order_and_name_the_spans_in_place_of_labels() -> None:
    """Whatever span the first node is of."""
    circuit = Circuit.from_edges(SPLIT, ["input->logits@end", "a0.h0->a1.h0<k>@IO", "a1.h0->logits@end"])
    words = svg_text(own_svg(circuit))
    assert words.count("IO") == words.count("end") == 1 and "S2" not in words
    assert words.index("IO") < words.index("end")
    assert words.count("a1.h0") == 2 and "a1.h0 @ IO" not in words


def test_dotted_lines_lead_from_a_key_to_where_it_is_used() -> None:
    circuit = Circuit.from_edges(
        SPLIT, ["input->a0.h0<v>@IO", "a0.h0->a1.h0<k>@S2", "input->a1.h1<q>@end", "a1.h0->logits@end"]
    )
    assert scene_of(circuit, title="", max_edges=None).across == (("a0.h0@IO", "a0.h0@S2"), ("a1.h0@S2", "a1.h0@end"))
    svg = own_svg(circuit)
    assert svg.count('class="across"') == 2 and "read at a later span" in svg
    assert len(re.findall("style=dotted", render.dot_of(scene_of(circuit, title="", max_edges=None)).source)) == 2


def test_whole_edges_have_neither_columns_nor_dotted_lines() -> None:
    svg = own_svg(Circuit(SPLIT.whole, SPLIT.whole.edges_mask))
    assert "across" not in svg and "later span" not in svg
    assert not ElementTree.fromstring(svg).findall(".//{http://www.w3.org/2000/svg}line[@stroke='#CFD8DC']")


def test_an_svg_with_columns_is_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("Graphviz keeps no columns")

    monkeypatch.setattr(render, "_run_dot", fail)
    circuit = split_circuit()
    assert draw(circuit, tmp_path / "c.svg") == [tmp_path / "c.svg"]
    assert draw(circuit).svg == (tmp_path / "c.svg").read_text()


def test_the_strongest_paths_go_on_through_keys_and_values() -> None:
    """An edge into a key is as strong as the way from where it is read to the logits."""
    scores = {
        "input->a1.h0<k>@IO": 9.0,
        "a1.h0->logits@end": 1.0,
        "input->a1.h1<v>@S2": 5.0,
        "a1.h1->logits@end": 6.0,
    }
    mask, values = SPLIT.mask_of(scores), torch.zeros(SPLIT.n_src, SPLIT.n_dst)
    for edge, score in scores.items():
        values[SPLIT.parse_edge(edge)] = score
    graph = weighted_graph(Circuit(SPLIT, mask, values))
    front = in_front(graph.nodes, graph.edges, 2, across=readers(graph))
    assert {graph.edges[i].name for i in front} == {"input->a1.h1<v>@S2", "a1.h1->logits@end"}
