"""A graph whose edges are split by span: counts, names, and what lies on a path."""

import networkx as nx
import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError
from tests.circuits.test_graph import random_mask

ORDERED = ((True, False, False), (True, True, False), (True, True, True))
NAMES = ("name", "S1+1", "end")
GRAPHS = [
    Graph(2, 3, 8).split(NAMES, ORDERED),
    Graph(2, 2, 8, parallel=True).split(NAMES),
    Graph(3, 2, 8).split(("a", "b"), ((True, False), (True, True))),
]


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_edge_is_split_but_those_into_the_logits(graph: Graph) -> None:
    whole, n = graph.whole, graph.n_spans
    assert graph.n_edges == n * (whole.n_edges - whole.n_src) + whole.n_src
    assert graph.n_dst == n * whole.n_dst == len(graph.destinations) and graph.sources == whole.sources
    into_logits = graph.by_span(graph.edges_mask)[:, -1]
    assert into_logits[:, -1].all() and not into_logits[:, :-1].any()
    assert torch.equal(graph.by_span(graph.edges_mask)[:, :-1].all(-1), whole.edges_mask[:, :-1])


@pytest.mark.parametrize("graph", GRAPHS)
def test_names_and_indices_are_inverse(graph: Graph) -> None:
    names = graph.edge_names(graph.edges_mask)
    assert len(set(names)) == len(names) and torch.equal(graph.mask_of(names), graph.edges_mask)
    for i, j in graph.edges_mask.nonzero().tolist():
        assert graph.parse_edge(graph.edge_name(i, j)) == (i, j)
    for span, name in enumerate(graph.spans):
        assert graph.destinations[graph.mlp_dst(1) + span] == f"m1@{name}"
        assert graph.destinations[graph.head_dst(1, "k", 1) + span] == f"a1.h1<k>@{name}"
        assert graph.sites[graph.head_src(1, 1) * graph.n_spans + span] == f"a1.h1@{name}"


def test_a_span_of_its_own_for_nodes_and_inputs() -> None:
    graph = GRAPHS[0]
    mask = graph.mask_of(["a0.h0->a1.h1<k>@name", "a1.h1->logits@end"])
    assert graph.node_names(mask) == ["a0.h0@name", "a1.h1@name", "a1.h1@end", "logits@end"]
    assert (graph.layer_of("a1.h1@end"), graph.layer_of("m0@end"), graph.layer_of("logits@end")) == (1, 0, 2)
    frame = Circuit(graph, mask).to_frame()
    row = frame[frame["kept"]].iloc[0]
    assert (row.src, row.dst, row.input, row.span) == ("a0.h0@name", "a1.h1@name", "k", "name")


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_key_changes_its_head_wherever_it_is_attended_to(graph: Graph) -> None:
    for name, sites in zip(graph.destinations, graph.sites_of_dst, strict=True):
        base, span = name.split("@")
        here = graph.spans.index(span)
        spans = [i for i in range(graph.n_spans) if graph.sees[i][here]] if base[-2] in "kv" else [here]
        node = base.split("<")[0]
        assert [graph.sites[i] for i in sites] == (
            [] if node == "logits" else [f"{node}@{graph.spans[i]}" for i in spans]
        )


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("share", [0.05, 0.15, 0.4])
@pytest.mark.parametrize("from_input", [True, False])
def test_pruning_keeps_exactly_the_edges_on_a_path(graph: Graph, share: float, from_input: bool) -> None:
    mask = random_mask(graph, share, seed=1)
    network = nx.DiGraph([(f"in {site}", site) for site in graph.sites])  # a destination feeds its node's sites
    network.add_nodes_from(graph.destinations)
    for name, sites in zip(graph.destinations, graph.sites_of_dst, strict=True):
        network.add_edges_from((name, graph.sites[site]) for site in sites)
    for i, j in mask.nonzero().tolist():
        network.add_edge(graph.site_of(graph.sources[i], graph.destinations[j]), graph.destinations[j])
    from_start = {s for site in graph.sites[: graph.n_spans] for s in nx.descendants(network, f"in {site}")}
    to_end = nx.ancestors(network, graph.destinations[-1]) | {graph.destinations[-1]}
    expected = [
        name
        for name in graph.edge_names(mask)
        if graph.site_of(*name.split("->")) in (from_start if from_input else network) and name.split("->")[1] in to_end
    ]
    assert graph.edge_names(graph.prune(mask, from_input=from_input)) == expected


def test_what_prompts_tell_of_the_order_is_no_part_of_a_graph_s_identity() -> None:
    base = Graph(1, 1, 4)
    assert base.split(("a", "b")) == base.split(("a", "b"), ((True, False), (True, True))) != base.split(("b", "a"))
    assert base.split(("a", "b")).whole == base != base.split(("a", "b"))


@pytest.mark.parametrize(
    ("spans", "says"),
    [
        (("a",), "two spans or more"),
        (("a", "a"), "two spans of a graph have the name 'a'"),
        (("a", "b c"), "not 'b c'"),
        (("a", "b@c"), "not 'b@c'"),
        (("a", ""), "not ''"),
    ],
)
def test_names_of_spans_are_checked(spans: tuple[str, ...], says: str) -> None:
    with pytest.raises(CircuitError, match=says):
        Graph(1, 1, 4, spans=spans)


def test_an_edge_without_its_span_is_told() -> None:
    graph = GRAPHS[0]
    with pytest.raises(CircuitError, match=r"split: '@' and one of 'name, S1\+1, end' must follow"):
        graph.parse_edge("a0.h0->m1")
    with pytest.raises(CircuitError, match="not split by span here"):
        graph.whole.parse_edge("a0.h0->m1@end")
    with pytest.raises(CircuitError, match="a head as a destination needs its input"):
        graph.parse_edge("a0.h0->a1.h0@end")
    with pytest.raises(CircuitError, match="must be a square of 3 x 3"):
        graph.split(NAMES, ((True,),))
