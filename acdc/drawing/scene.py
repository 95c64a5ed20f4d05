"""What a picture of a graph shows, before any renderer: rows of nodes from input to logits, and styled arrows."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING

from acdc.circuits.score_kinds import UNKNOWN, ScoreWords
from acdc.circuits.weighted import WeightedEdge, WeightedGraph, WeightedNode, weighted_graph

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit

__all__ = ["ARROW_COLORS", "MAX_DRAWN_EDGES", "Arrow", "Row", "Scene", "scene_of", "style_of"]

# Okabe and Ito's palette: told apart by colour-blind readers too
ARROW_COLORS = {"q": "#0072B2", "k": "#D55E00", "v": "#009E73", "": "#555555"}
NODE_COLORS = {  # kind: (fill, line); a node of any other kind is drawn as a head
    "input": ("#ECEFF1", "#455A64"),
    "head": ("#FFFFFF", "#37474F"),
    "mlp": ("#FFF3CD", "#8A6D00"),
    "logits": ("#EADCF4", "#5E3A87"),
}
CELL_COLOR = "#78909C"  # of a head's inputs where colours mean something else
FEW, MANY = 20, 200  # between these numbers of arrows, lines get thinner
LONGEST_TITLE = 150
MAX_DRAWN_EDGES = 500  # unless more are asked for


@dataclass(frozen=True)
class Row:
    """Nodes drawn on one level, with what the level is called."""

    label: str
    nodes: tuple[WeightedNode, ...]


@dataclass(frozen=True)
class Arrow:
    """A kept edge as it is drawn; `strength` is in [0, 1] and grows with the score's size."""

    src: str
    dst: str
    input: str
    score: float | None
    strength: float
    width: float
    color: str
    group: str = ""

    @property
    def dashed(self) -> bool:
        """Dashed arrows have a negative score: where scores are effects, removing the edge helps."""
        return self.score is not None and self.score < 0

    @property
    def opacity(self) -> float:
        """Weak arrows step back."""
        return round(0.35 + 0.6 * self.strength, 3)

    @property
    def text(self) -> str:
        """The edge's name, group and score, for a tooltip."""
        name = f"{self.src}->{self.dst}" + (f"<{self.input}>" if self.input else "")
        name += f" ({self.group})" if self.group else ""
        return name if self.score is None else f"{name}: {self.score:+.3g}"


@dataclass(frozen=True)
class Scene:
    """A picture's content.

    Attributes:
        inputs: Which of q, k and v each node is drawn with.
        words: What a weight is.
        width: What the legend says of the arrows' widths.
        colors: The colour of each group of edges, in the legend's order, where colours tell groups and not inputs.
    """

    title: str
    caption: str
    rows: tuple[Row, ...]
    arrows: tuple[Arrow, ...]
    inputs: Mapping[str, tuple[str, ...]]
    words: ScoreWords
    width: str
    colors: Mapping[str, str]

    @property
    def crowd(self) -> float:
        """How crowded the picture is, from 0 (few arrows) to 1 (many)."""
        return _crowd(len(self.arrows))

    @property
    def legend(self) -> tuple[tuple[str, str], ...]:
        """Colour and meaning of each sort of arrow that the picture has."""
        if self.colors:
            counts = Counter(arrow.group for arrow in self.arrows)
            colors = {_line(group): color for group, color in self.colors.items()}
            return tuple((color, f"{group} ({counts[group]:,})") for group, color in colors.items() if counts[group])
        meaning = {"q": "query input", "k": "key input", "v": "value input", "": "MLP or logits input"}
        present = {arrow.input for arrow in self.arrows}
        return tuple((ARROW_COLORS[kind], meaning[kind]) for kind in ARROW_COLORS if kind in present)

    @property
    def notes(self) -> tuple[str, ...]:
        """How to read widths and dashes, as far as the picture has them."""
        notes = [f"width: {self.width}"] if any(arrow.score is not None for arrow in self.arrows) else []
        dashed = f"dashed: {self.words.negative or UNKNOWN.negative}"
        return (*notes, *([dashed] if any(arrow.dashed for arrow in self.arrows) else []))

    def cell_color(self, kind: str) -> str:
        """The colour of a node's `q`, `k` or `v` input."""
        return CELL_COLOR if self.colors else ARROW_COLORS[kind]


def scene_of(
    graph: "WeightedGraph | Circuit",
    *,
    title: str | None,
    max_edges: int | None,
    colors: Mapping[str, str] = MappingProxyType({}),
) -> Scene:
    """Rows and arrows of a graph.

    Args:
        title: Default: the graph's own.
        max_edges: Only so many edges, those of the largest weights; None: all.
        colors: The colour of each group of edges, where colours tell groups and not inputs.
    """
    graph = graph.strongest(max_edges) if isinstance(graph, WeightedGraph) else weighted_graph(graph, most=max_edges)
    entered = {(edge.dst, edge.input) for edge in graph.edges}
    inputs = {node.id: tuple(kind for kind in "qkv" if (node.id, kind) in entered) for node in graph.nodes}
    return Scene(
        title=_line(graph.title if title is None else title),
        caption=_line(graph.caption),
        rows=_rows(graph.nodes),
        arrows=_arrows(graph.edges, colors),
        inputs=inputs,
        words=graph.words,
        width=graph.width or f"size of {graph.words.label}",
        colors=colors,
    )


def _arrows(edges: Sequence[WeightedEdge], colors: Mapping[str, str]) -> tuple[Arrow, ...]:
    sizes = [abs(edge.weight) for edge in edges if edge.weight is not None and math.isfinite(edge.weight)]
    largest = max(sizes, default=0.0)
    crowd = _crowd(len(edges))
    thin, thick = 0.8 - 0.3 * crowd, 5.0 - 2.0 * crowd
    strengths = [_strength(edge.weight, largest) if sizes else 0.3 for edge in edges]
    return tuple(
        Arrow(
            src=edge.src,
            dst=edge.dst,
            input=edge.input,
            score=edge.weight,
            strength=strength,
            width=round(thin + (thick - thin) * strength, 3),
            color=colors[edge.group] if colors else ARROW_COLORS[edge.input],
            group=_line(edge.group),
        )
        for edge, strength in zip(edges, strengths, strict=True)
    )


def _crowd(n_arrows: int) -> float:
    return min(1.0, max(0.0, (n_arrows - FEW) / (MANY - FEW)))


def _strength(weight: float | None, largest: float) -> float:
    """The square root of the relative size: effects span decades, and the small ones must stay tellable."""
    if weight is None or largest == 0:
        return 0.0
    return math.sqrt(min(1.0, abs(weight) / largest))


def _rows(nodes: Sequence[WeightedNode]) -> tuple[Row, ...]:
    levels = groupby(nodes, key=lambda node: (node.layer, node.level))
    return tuple(Row(_line(label), tuple(row)) for (_, label), row in levels)


def _line(text: str) -> str:
    """One printable line: a picture's XML holds no control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"


def style_of(node: WeightedNode) -> tuple[str, str]:
    """Fill and line colour of a node."""
    return NODE_COLORS.get(node.kind, NODE_COLORS["head"])
