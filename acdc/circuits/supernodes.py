"""Supernodes: nodes under one name, drawn as one.

They are written as Neuronpedia's attribution graphs hold them (`qParams.supernodes`): a name, then the nodes' ids.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from acdc.circuits.weighted import WeightedEdge, WeightedGraph, WeightedNode
from acdc.errors import CircuitError, counted, nearest, printable, shown

__all__ = ["GROUP", "Supernodes", "check_supernodes", "contracted", "merged", "parsed", "within"]

GROUP = "group"  # the kind of a supernode in a graph
Supernodes = tuple[tuple[str, ...], ...]


def check_supernodes(supernodes: Iterable[Sequence[str]], nodes: Collection[str]) -> None:
    """Raise `CircuitError` unless each has a name and nodes, all of them of `nodes` and none in two.

    >>> check_supernodes([("names", "a", "b")], {"a", "b", "c"})
    """
    owner: dict[str, str] = {}
    for name, *ids in map(_whole, supernodes):
        for node in ids:
            if node not in nodes:
                near = nearest(node, nodes)
                meant = f"; did you mean {shown(near)}?" if near else ""
                raise CircuitError(f"group {shown(name)} names {shown(node)}, which is not a node{meant}")
            if node in owner:
                both = f"{shown(owner[node])} and {shown(name)}" if owner[node] != name else f"{shown(name)} twice"
                raise CircuitError(f"the node {shown(node)} is in {both}: a node is in one group")
            owner[node] = name


def _whole(supernode: Sequence[str]) -> Sequence[str]:
    if not supernode or not supernode[0].strip():
        raise CircuitError("a group of nodes has no name: it must be a list of a name and nodes")
    if len(supernode) < 2:
        raise CircuitError(f"group {shown(supernode[0])} has no nodes: it must be a list of a name and nodes")
    return supernode


def parsed(text: str) -> tuple[str, ...]:
    """A supernode that is written `name=node,node`.

    Raises:
        CircuitError: It is written otherwise.

    >>> parsed("names=resid_post.1/3,resid_post.1/17@S2")
    ('names', 'resid_post.1/3', 'resid_post.1/17@S2')
    """
    name, equals, nodes = text.rpartition("=")
    ids = tuple(each.strip() for each in nodes.split(","))
    if not equals or not name.strip() or not all(ids):
        raise CircuitError(f"a group is written name=node,node, not {printable(text)!r}")
    return (name.strip(), *ids)


def merged(old: Supernodes, new: Mapping[str, Iterable[str]]) -> Supernodes:
    """Old supernodes and new ones: a name's new nodes take the place of its old ones, and leave the other groups.

    >>> merged((("names", "a", "b"), ("rest", "c", "d")), {"names": ["a", "c"], "new": ["e"]})
    (('rest', 'd'), ('names', 'a', 'c'), ('new', 'e'))
    """
    fresh = tuple((name, *nodes) for name, nodes in new.items())
    taken = {node for _, *nodes in fresh for node in nodes}
    others = tuple(each for each in old if each[0] not in new)
    return within(others, {node for _, *nodes in others for node in nodes} - taken) + fresh


def within(supernodes: Supernodes, nodes: Collection[str]) -> Supernodes:
    """What is left of supernodes where there are only these nodes.

    >>> within((("names", "a", "b"), ("rest", "c")), {"a", "d"})
    (('names', 'a'),)
    """
    left = ((name, *(node for node in ids if node in nodes)) for name, *ids in supernodes)
    return tuple(each for each in left if len(each) > 1)


def contracted(graph: WeightedGraph, supernodes: Iterable[Sequence[str]]) -> WeightedGraph:
    """The graph with each supernode as one node, in the place of its middle one; edges between the same are summed.

    Edges inside a supernode are left out, and so are nodes that the graph doesn't have. A supernode of several layers
    may be read by what comes before it.

    >>> nodes = tuple(WeightedNode(name, "feature", layer) for name, layer in (("a", 0), ("b", 0), ("c", 1)))
    >>> edges = (WeightedEdge("a", "c", weight=2.0), WeightedEdge("b", "c", weight=-0.5))
    >>> [edge.weight for edge in contracted(WeightedGraph(nodes, edges), [("both", "a", "b")]).edges]
    [1.5]
    """
    place: dict[str, WeightedNode] = {}
    for i, (name, *ids) in enumerate(supernodes):
        members = [node for node in graph.nodes if node.id in ids]
        place |= dict.fromkeys((node.id for node in members), _one(f"group {i}", name, members)) if members else {}
    if not place:
        return graph
    middles = {one.attributes["middle"]: one for one in place.values()}
    nodes = tuple(middles.get(node.id, node) for node in graph.nodes if node.id not in place or node.id in middles)
    edges = _summed(_joined(edge, place) for edge in graph.edges)
    told = f"{counted(len(place), 'node')} in {counted(len(middles), 'group')}"
    return replace(graph, nodes=nodes, edges=edges, caption=f"{graph.caption}; {told}".removeprefix("; "))


def _one(id: str, name: str, members: Sequence[WeightedNode]) -> WeightedNode:
    middle = members[(len(members) - 1) // 2]
    told = {"middle": middle.id, "members": [node.id for node in members]}
    span = Counter(node.span for node in members).most_common(1)[0][0]
    return replace(middle, id=id, kind=GROUP, label=f"{name} ({len(members)})", span=span, attributes=told)


def _joined(edge: WeightedEdge, place: Mapping[str, WeightedNode]) -> WeightedEdge:
    src, dst = (place[end].id if end in place else end for end in (edge.src, edge.dst))
    return edge if (src, dst) == (edge.src, edge.dst) else replace(edge, src=src, dst=dst, called="")


def _summed(edges: Iterable[WeightedEdge]) -> tuple[WeightedEdge, ...]:
    sums: dict[tuple[str, str, str], WeightedEdge] = {}
    for edge in edges:
        key = (edge.src, edge.dst, edge.input)
        if edge.src == edge.dst:
            continue
        if key not in sums:
            sums[key] = edge
        elif edge.weight is not None:
            sums[key] = replace(sums[key], weight=(sums[key].weight or 0.0) + edge.weight)
    return tuple(sums.values())
