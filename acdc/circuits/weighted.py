"""A weighted graph of any nodes: what pictures and exports of graphs are made from.

A circuit of heads and MLPs becomes one, and so can a graph of features or of spans: whatever has nodes of a kind in a
layer, and edges of a weight, is drawn and exported by the same code.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.graph import Graph, base_of, input_of, kind_of, span_of
from acdc.circuits.ranking import top_edges
from acdc.circuits.score_kinds import UNKNOWN, ScoreWords, words_of
from acdc.errors import CircuitError

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit

__all__ = ["WeightedEdge", "WeightedGraph", "WeightedNode", "weighted_graph"]


@dataclass(frozen=True)
class WeightedNode:
    """A node.

    Attributes:
        id: Its name, which edges use.
        kind: `input`, `head`, `mlp`, `logits`, or any other word, such as `feature`.
        layer: The block that it belongs to; -1 before the first one.
        level: What its row of a picture is called. Neighbours of one layer and level stand in one row.
        label: What a picture shows; by default the id.
        span: The positions that it is of, by name; None: all.
        attributes: What else exports say of it.
    """

    id: str
    kind: str
    layer: int
    level: str = ""
    label: str = ""
    span: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The label, with the span if there is one."""
        return (self.label or self.id) + (f" @ {self.span}" if self.span else "")


@dataclass(frozen=True)
class WeightedEdge:
    """An edge.

    Attributes:
        src, dst: Ids of nodes.
        input: `q`, `k` or `v` where it enters that input of its destination; else empty.
        weight: None: not measured.
        group: What a picture tells edges apart by, in place of their inputs.
        attributes: What else exports say of it.
        called: Its name, where it isn't made of those of its ends.
    """

    src: str
    dst: str
    input: str = ""
    weight: float | None = None
    group: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    called: str = ""

    @property
    def name(self) -> str:
        """`a0.h1->a1.h0<q>`, or what it is called."""
        return self.called or f"{self.src}->{self.dst}" + (f"<{self.input}>" if self.input else "")


@dataclass(frozen=True)
class WeightedGraph:
    """Nodes and weighted edges.

    Attributes:
        nodes: In the order in which they are drawn: row after row, from the left.
        edges: Between these.
        title, caption: What stands above a picture.
        words: What a weight is.
        width: What a picture's legend says of the edges' widths; by default that they are the weights' sizes.
        attributes: What else exports say of it.

    Raises:
        CircuitError: Two nodes have one id, or an edge joins what is not a node.

    >>> nodes = (WeightedNode("f1", "feature", 0), WeightedNode("f2", "feature", 1))
    >>> graph = WeightedGraph(nodes, (WeightedEdge("f1", "f2", weight=0.5), WeightedEdge("f1", "f2", "q")))
    >>> graph.strongest(1).edges[0].name
    'f1->f2'
    """

    nodes: tuple[WeightedNode, ...]
    edges: tuple[WeightedEdge, ...]
    title: str = ""
    caption: str = ""
    words: ScoreWords = UNKNOWN
    width: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = Counter(node.id for node in self.nodes)
        if twice := [name for name, n in counts.items() if n > 1]:
            raise CircuitError(f"two nodes of a graph have the id {twice[0]!r}")
        ends = {end for edge in self.edges for end in (edge.src, edge.dst)}
        if unknown := sorted(ends - set(counts)):
            raise CircuitError(f"an edge of a graph joins {unknown[0]!r}, which is not a node of it")

    @property
    def spans(self) -> tuple[str, ...]:
        """The spans that its nodes are of, in the prompts' order; empty where edges are not split."""
        return tuple(str(self.attributes.get("spans", "")).split())

    def strongest(self, n: int | None) -> "WeightedGraph":
        """The graph of its `n` edges of the largest weights, in size, and of the nodes that they join; None: all."""
        if n is None or len(self.edges) <= n:
            return self
        order = sorted(range(len(self.edges)), key=lambda i: -abs(self.edges[i].weight or 0.0))  # ties keep the order
        edges = tuple(self.edges[i] for i in sorted(order[: max(0, n)]))
        ends = {end for edge in edges for end in (edge.src, edge.dst)}
        nodes = tuple(node for node in self.nodes if node.id in ends)
        caption = f"the {len(edges):,} strongest of {len(self.edges):,} edges, {len(nodes)} nodes"
        return replace(self, nodes=nodes, edges=edges, caption=caption)


def weighted_graph(
    circuit: "Circuit", *, edges: Bool[Tensor, "src dst"] | None = None, most: int | None = None
) -> WeightedGraph:
    """A circuit as a weighted graph of heads and MLPs, an empty one of its two ends; an edge's weight is its score.

    Args:
        edges: The edges that it has; by None those that the circuit keeps. If given, each edge says whether it is
            `kept`, and each node whether it is `in_circuit`.
        most: At most so many edges, those of the largest scores in size.
    """
    graph, mask, scores = circuit.graph, circuit.mask, circuit.scores
    listed = mask if edges is None else edges
    shown = listed if most is None else top_edges(graph, scores, most, signed=False, among=listed)
    weights = [math.nan] * int(shown.sum()) if scores is None else scores[shown].tolist()
    kept = [{} if edges is None else {"kept": keeps} for keeps in mask[shown].tolist()]
    inside, names = set(circuit.nodes), graph.node_names(shown) or ["input", "logits"]
    nodes = (_node(graph, name, {} if edges is None else {"in_circuit": name in inside}) for name in names)
    found = zip(shown.nonzero().tolist(), weights, kept, strict=True)
    return WeightedGraph(
        nodes=tuple(nodes),
        edges=tuple(_edge(graph, i, j, weight, attributes) for (i, j), weight, attributes in found),
        title=circuit.origin,
        caption=_caption(circuit, len(weights), len(names)),
        words=words_of(circuit.score_kind),
        attributes=_shape(graph),
    )


def _shape(graph: Graph) -> dict[str, Any]:
    shape = {name: getattr(graph, name) for name in ("n_layers", "n_heads", "d_model", "parallel")}
    return shape | ({"spans": " ".join(graph.spans)} if graph.spans else {})


def _edge(graph: Graph, src: int, dst: int, weight: float, attributes: Mapping[str, Any]) -> WeightedEdge:
    destination = graph.destinations[dst]
    return WeightedEdge(
        src=graph.site_of(graph.sources[src], destination),
        dst=graph.node_of(destination),
        input=input_of(destination),
        weight=None if math.isnan(weight) else weight,
        attributes=attributes,
        called=graph.edge_name(src, dst) if graph.spans else "",
    )


def _node(graph: Graph, name: str, attributes: Mapping[str, Any]) -> WeightedNode:
    kind, layer = kind_of(name), graph.layer_of(name)
    levels = {"head": f"layer {layer}", "mlp": f"layer {layer}" if graph.parallel else f"MLP {layer}"}
    span = span_of(name)
    label = base_of(name) if span else ""
    return WeightedNode(name, kind, layer, levels.get(kind, ""), label, span or None, attributes)


def _caption(circuit: "Circuit", n_shown: int, n_nodes: int) -> str:
    graph, n_edges = circuit.graph, circuit.n_edges
    caption = f"{n_edges:,} of {graph.n_edges:,} edges, {n_nodes} nodes"
    if n_shown < n_edges:
        caption = f"the {n_shown:,} strongest of {n_edges:,} kept edges, {n_nodes} nodes"
    return f"{caption} ({graph.shape})"
