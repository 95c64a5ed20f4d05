"""Supernodes: nodes drawn as one. No weight is lost but inside of them, and what can't be is refused by name."""

from dataclasses import replace
from itertools import combinations

import pytest

from acdc.circuits.supernodes import check_supernodes, contracted, merged, parsed
from acdc.circuits.weighted import WeightedEdge, WeightedGraph, WeightedNode
from acdc.errors import CircuitError

NAMES = ("a", "b", "c", "d", "logits")
GRAPH = WeightedGraph(
    tuple(WeightedNode(name, "feature", layer) for layer, name in enumerate(NAMES)),
    tuple(WeightedEdge(NAMES[i], NAMES[j], weight=i - j / 3, called="x") for i, j in combinations(range(5), 2)),
    caption="some",
)


def test_between_any_two_the_weights_are_those_of_their_members_summed() -> None:
    found = contracted(GRAPH, [("first", "a", "c"), ("second", "b", "d")])
    assert [(node.label or node.id, node.kind) for node in found.nodes] == [
        ("first (2)", "group"),
        ("second (2)", "group"),
        ("logits", "feature"),
    ]
    owner = {"a": "group 0", "c": "group 0", "b": "group 1", "d": "group 1", "logits": "logits"}
    sums: dict[tuple[str, str], float] = {}
    for edge in GRAPH.edges:
        ends = (owner[edge.src], owner[edge.dst])
        if ends[0] != ends[1]:
            sums[ends] = sums.get(ends, 0.0) + edge.weight
    assert {(edge.src, edge.dst): edge.weight for edge in found.edges} == pytest.approx(sums)
    assert found.caption == "some; 4 nodes in 2 groups" and not any(edge.called for edge in found.edges)


def test_nothing_to_group_changes_nothing() -> None:
    assert contracted(GRAPH, ()) is GRAPH
    assert contracted(GRAPH, [("of another graph", "z")]) is GRAPH
    alone = contracted(GRAPH, [("renamed", "b")])
    assert [node.label for node in alone.nodes][1] == "renamed (1)" and len(alone.edges) == len(GRAPH.edges)


def test_a_group_stands_where_its_middle_node_stood_at_most_members_span() -> None:
    spans = dict(zip(NAMES, ("IO", "S2", "S2", "end", None), strict=True))
    graph = replace(GRAPH, nodes=tuple(replace(node, span=spans[node.id]) for node in GRAPH.nodes))
    (one,) = (node for node in contracted(graph, [("g", "a", "b", "c", "d")]).nodes if node.kind == "group")
    assert (one.layer, one.span, one.attributes["members"]) == (1, "S2", ["a", "b", "c", "d"])


def test_new_groups_take_their_nodes_from_old_ones() -> None:
    old = (("names", "a", "b"), ("rest", "c"))
    assert merged(old, {}) == old
    assert merged(old, {"new": ["b", "c"]}) == (("names", "a"), ("new", "b", "c"))
    assert merged(old, {"names": ["d"]}) == (("rest", "c"), ("names", "d"))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([("g", "a", "logit")], "group 'g' names 'logit', which is not a node; did you mean 'logits'?"),
        ([("g", "a"), ("h", "a")], "the node 'a' is in 'g' and 'h': a node is in one group"),
        ([("g", "a", "a")], "the node 'a' is in 'g' twice"),
        ([(" ", "a")], "has no name"),
        ([()], "has no name"),
        ([("g",)], "group 'g' has no nodes"),
    ],
)
def test_what_is_no_grouping_is_refused(groups: list[tuple[str, ...]], message: str) -> None:
    with pytest.raises(CircuitError, match=message.replace("?", r"\?")):
        check_supernodes(groups, NAMES)


@pytest.mark.parametrize("text", ["names", "=a", "names=", "names=a,,b", " = a"])
def test_a_group_is_written_name_equals_nodes(text: str) -> None:
    with pytest.raises(CircuitError, match="written name=node,node"):
        parsed(text)
    assert parsed("a = b=c, d") == ("a = b", "c", "d")
