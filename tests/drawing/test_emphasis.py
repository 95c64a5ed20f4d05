"""What stands in front of a picture, how wide edges are, which rows there are, and what is written below nodes."""

import itertools
import random
import re
from xml.etree import ElementTree

import networkx as nx
import pytest

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.weighted import WeightedEdge, WeightedGraph, WeightedNode
from acdc.drawing import roles_of, to_dot
from acdc.drawing.emphasis import FRONT, decades_of, in_front, log_strength
from acdc.drawing.scene import scene_of
from acdc.drawing.svg import svg_of
from acdc.interpret.explanation import Claim, Explanation, NodeCard
from tests.circuits.examples import circuit_of
from tests.drawing.pictures import dot_edges, svg_paths, svg_text

LARGE = circuit_of(Graph(4, 8, 64), share=0.5)


def scene(circuit: Circuit = LARGE, **roles: tuple[str, ...]) -> object:
    return scene_of(circuit, title=None, max_edges=None, roles={name.replace("_", "."): r for name, r in roles.items()})


def random_graph(seed: int) -> WeightedGraph:
    rng = random.Random(seed)
    nodes = [WeightedNode(f"n{i}", "head", i) for i in range(8)]
    pairs = rng.sample(list(itertools.combinations(range(8), 2)), 16)
    return WeightedGraph(
        tuple(nodes), tuple(WeightedEdge(f"n{i}", f"n{j}", weight=rng.uniform(-1, 1)) for i, j in pairs)
    )


@pytest.mark.parametrize("seed", range(8))
def test_in_front_are_the_edges_on_the_strongest_paths(seed: int) -> None:
    """Against all paths from a source to a sink, one by one."""
    graph = random_graph(seed)
    whole = nx.DiGraph()
    for edge in graph.edges:
        whole.add_edge(edge.src, edge.dst, size=abs(edge.weight or 0))
    sources = [node for node in whole if whole.in_degree(node) == 0]
    sinks = [node for node in whole if whole.out_degree(node) == 0]
    best: dict[tuple[str, str], float] = {}
    for start, end in itertools.product(sources, sinks):
        for path in nx.all_simple_paths(whole, start, end):
            steps = list(itertools.pairwise(path))
            weakest = min((whole.edges[step]["size"] for step in steps), default=0.0)
            for step in steps:
                best[step] = max(best.get(step, 0.0), weakest)
    sizes = {(edge.src, edge.dst): abs(edge.weight or 0) for edge in graph.edges}
    expected = sorted(sizes, key=lambda step: (-best[step], -sizes[step]))[:5]
    found = in_front(graph.nodes, graph.edges, 5)
    assert {(graph.edges[i].src, graph.edges[i].dst) for i in found} == set(expected)


def test_only_large_pictures_have_something_set_back() -> None:
    few, many = scene_of(LARGE, title=None, max_edges=FRONT), scene()
    assert all(arrow.front for arrow in few.arrows) and "in front" not in few.caption
    assert sum(arrow.front for arrow in many.arrows) == FRONT < len(many.arrows)
    assert f"in front the {FRONT} on the strongest paths" in many.caption
    assert many.caption in svg_text(svg_of(many))
    front = [arrow.opacity for arrow in many.arrows if arrow.front]
    assert min(front) > max(arrow.opacity for arrow in many.arrows if not arrow.front)
    set_back = [style for *_, style in dot_edges(LARGE, max_edges=None) if style.get("constraint") == "false"]
    assert len(set_back) == len(many.arrows) - FRONT


def test_pictures_of_many_edges_are_no_strips() -> None:
    size = ElementTree.fromstring(svg_of(scene(circuit_of(Graph(30, 9, 576), share=0.004))))
    assert len(svg_paths(svg_of(scene(circuit_of(Graph(30, 9, 576), share=0.004))))) > 400
    assert float(size.get("height")) < 4 * float(size.get("width")) and float(size.get("height")) < 4000


def test_widths_go_by_the_logarithm_and_the_legend_has_their_scale() -> None:
    assert [log_strength(x, 1.0, 2.0) for x in (1.0, 0.1, 0.01, 0.001)] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert decades_of([5.0, 0.05, 0.0]) == pytest.approx(2) and decades_of([1.0]) == 1.0 and decades_of([]) == 3.0
    shown = scene()
    sizes = sorted(abs(arrow.score) for arrow in shown.arrows if arrow.score == arrow.score and arrow.score)
    (thick, largest), _, (thin, smallest) = shown.scale
    assert float(largest) == pytest.approx(sizes[-1], rel=0.05) and thick == max(arrow.width for arrow in shown.arrows)
    assert float(smallest) >= sizes[0] * 0.95 and thin == min(arrow.width for arrow in shown.arrows)
    svg = svg_of(shown)
    lines = list(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}line"))
    assert {f"{thick:g}", f"{thin:g}"} <= {line.get("stroke-width") for line in lines} and largest in svg_text(svg)
    assert lines[-1].get("stroke-dasharray") == "5 3"  # that of negative scores
    assert f"thick {largest}, thin {smallest}" in to_dot(LARGE, max_edges=None).source


def test_a_layer_s_heads_and_mlp_share_a_row_where_nothing_joins_them() -> None:
    graph = Graph(2, 2, 8)
    apart = Circuit.from_edges(graph, ["input->a0.h0<v>", "a0.h0->m0", "m0->logits"])
    together = Circuit.from_edges(graph, ["input->a0.h0<v>", "a0.h0->logits", "input->m0", "m0->logits"])
    assert [row.label for row in scene(apart).rows] == ["", "layer 0", "MLP 0", ""]
    assert [row.label for row in scene(together).rows] == ["", "layer 0", ""]


def test_roles_stand_below_the_labels_of_their_nodes_alone() -> None:
    plain, told = scene(), scene(a1_h2=("induction", "name mover"), m0=("</b> & \\N",), a9_h9=("nothing",))
    assert plain.roles == {} and set(told.roles) == {"a1.h2", "m0"}
    before, after = svg_text(svg_of(plain)), svg_text(svg_of(told))
    assert sorted(set(after) - set(before)) == ["</b> & \\N", "induction, name mover"]
    source = to_dot(LARGE, max_edges=None, roles={"a1.h2": ("induction",), "m0": ("</b> & \\N",)}).source
    assert (
        re.search(r'a1\.h2<BR/><FONT POINT-SIZE="9">induction</FONT>', source) and "</b>" not in source.split("m0")[0]
    )


def test_roles_of_an_explanation_are_those_that_did_not_fail() -> None:
    def card(name: str, *claims: tuple[str, bool | None]) -> NodeCard:
        made = [Claim(role=role, score=1.0, holds=holds) for role, holds in claims]
        return NodeCard(name=name, kind="head", layer=0, claims=made)

    cards = [
        card("a0.h0", ("induction", True), ("duplicate", None), ("previous token", True)),
        card("a0.h1", ("name mover", False)),
        card("a0.h2"),
    ]
    explained = Explanation(made_with="acdc", circuit="0", nodes=cards)
    assert roles_of(explained) == {"a0.h0": ("induction", "duplicate?")}
