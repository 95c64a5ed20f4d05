"""What a picture of a graph shows, before any renderer: rows of nodes from input to logits, and styled arrows."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING

from acdc.circuits.graph import base_of
from acdc.circuits.influence import readers
from acdc.circuits.score_kinds import UNKNOWN, ScoreWords
from acdc.circuits.weighted import WeightedGraph, WeightedNode, weighted_graph
from acdc.drawing.emphasis import decades_of, in_front, log_strength

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit

__all__ = ["ARROW_COLORS", "MAX_DRAWN_EDGES", "Arrow", "Row", "Scene", "scene_of", "style_of"]

# Okabe and Ito's palette: told apart by colour-blind readers too
ARROW_COLORS = {"q": "#0072B2", "k": "#D55E00", "v": "#009E73", "": "#555555"}
NODE_COLORS = {  # kind: (fill, line); a node of any other kind is drawn as a head
    "input": ("#ECEFF1", "#455A64"),
    "head": ("#FFFFFF", "#37474F"),
    "mlp": ("#FFF3CD", "#8A6D00"),
    "feature": ("#E3F2E6", "#2E6B3A"),
    "error": ("#FBE3E0", "#A33A2C"),
    "logits": ("#EADCF4", "#5E3A87"),
    "group": ("#E3EDF8", "#0B57A4"),
}
CELL_COLOR = "#78909C"  # of a head's inputs where colours mean something else
FEW, MANY = 20, 200  # between these numbers of arrows in front, what stands between them gets less
THIN, THICK = 0.6, 5.0  # widths of arrows
LONGEST_TITLE = 150
LONGEST_ROW, WRAPPED = 20, 14  # narrow nodes of a row in one line, and of each line where it needs several
LETTERS = 11  # that a narrow node has room for, the space around it included
MAX_DRAWN_EDGES = 500  # unless more are asked for


@dataclass(frozen=True)
class Row:
    """Nodes drawn on one level, with what the level is called."""

    label: str
    nodes: tuple[WeightedNode, ...]


@dataclass(frozen=True)
class Arrow:
    """A kept edge as it is drawn; `strength` is in [0, 1] and grows with the score's size.

    Attributes:
        front: It is among those that stand out: see `acdc.drawing.emphasis`.
        name: The edge's, where it isn't made of its ends'.
    """

    src: str
    dst: str
    input: str
    score: float | None
    strength: float
    width: float
    color: str
    group: str = ""
    front: bool = True
    name: str = ""

    @property
    def dashed(self) -> bool:
        """Dashed arrows have a negative score: where scores are effects, removing the edge helps."""
        return self.score is not None and self.score < 0

    @property
    def opacity(self) -> float:
        """Weak arrows step back, and those that aren't in front far more."""
        return round(0.5 + 0.45 * self.strength if self.front else 0.1 + 0.15 * self.strength, 3)

    @property
    def text(self) -> str:
        """The edge's name, group and score, for a tooltip."""
        name = self.name or f"{self.src}->{self.dst}" + (f"<{self.input}>" if self.input else "")
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
        scale: Widths of arrows, and the size that each stands for, for the legend.
        roles: What is written below a node's label.
        columns: The spans that have a column each, from the left; empty where edges are not split.
        across: Of a head that has read a key or value at one span, by ids: the node that did, and that which uses it.
    """

    title: str
    caption: str
    rows: tuple[Row, ...]
    arrows: tuple[Arrow, ...]
    inputs: Mapping[str, tuple[str, ...]]
    words: ScoreWords
    width: str
    colors: Mapping[str, str]
    scale: tuple[tuple[float, str], ...]
    roles: Mapping[str, str]
    columns: tuple[str, ...] = ()
    across: tuple[tuple[str, str], ...] = ()

    @property
    def crowd(self) -> float:
        """How crowded the picture is, from 0 (few arrows in front) to 1 (many)."""
        return _crowd(sum(arrow.front for arrow in self.arrows))

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

    def label_of(self, node: WeightedNode) -> str:
        """What is written on a node; its span only where no column says it."""
        return node.label or node.id if self.columns else node.text

    def cell_color(self, kind: str) -> str:
        """The colour of a node's `q`, `k` or `v` input."""
        return CELL_COLOR if self.colors else ARROW_COLORS[kind]


def scene_of(
    graph: "WeightedGraph | Circuit",
    *,
    title: str | None,
    max_edges: int | None,
    colors: Mapping[str, str] = MappingProxyType({}),
    roles: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Scene:
    """Rows and arrows of a graph.

    Args:
        title: Default: the graph's own.
        max_edges: Only so many edges, those of the largest weights; None: all.
        colors: The colour of each group of edges, where colours tell groups and not inputs.
        roles: What nodes do, by name, whatever span they are of; it is written below their labels.
    """
    graph = graph.strongest(max_edges) if isinstance(graph, WeightedGraph) else weighted_graph(graph, most=max_edges)
    spans = {node.span for node in graph.nodes}
    columns = tuple(span for span in graph.spans if span in spans)
    entered = {(edge.dst, edge.input) for edge in graph.edges}
    inputs = {node.id: tuple(kind for kind in "qkv" if (node.id, kind) in entered) for node in graph.nodes}
    arrows = _arrows(graph, colors)
    return Scene(
        title=_line(graph.title if title is None else title),
        caption=_line(graph.caption) + _set_back(arrows),
        rows=tuple(line for row in _rows(graph) for line in _lines(row, columns if len(columns) > 1 else ())),
        arrows=arrows,
        inputs=inputs,
        words=graph.words,
        width=graph.width or f"size of {graph.words.label}",
        colors=colors,
        scale=_scale(arrows),
        roles={
            node.id: _line(", ".join(roles[name])) for node in graph.nodes if roles.get(name := base_of(node.id), ())
        },
        columns=columns if len(columns) > 1 else (),
        across=tuple((name, other) for name, others in readers(graph).items() for other in others if other != name),
    )


def _arrows(graph: WeightedGraph, colors: Mapping[str, str]) -> tuple[Arrow, ...]:
    edges, front = graph.edges, in_front(graph.nodes, graph.edges, across=readers(graph))
    sizes = [abs(edge.weight) for edge in edges if edge.weight is not None and math.isfinite(edge.weight)]
    largest, decades = max(sizes, default=0.0), decades_of(sizes)
    strengths = [_strength(edge.weight, largest, decades) if sizes else 0.3 for edge in edges]
    return tuple(
        Arrow(
            src=edge.src,
            dst=edge.dst,
            input=edge.input,
            score=edge.weight,
            strength=strength,
            width=_width(strength),
            color=colors[edge.group] if colors else ARROW_COLORS[edge.input],
            group=_line(edge.group),
            front=i in front,
            name=edge.called,
        )
        for i, (edge, strength) in enumerate(zip(edges, strengths, strict=True))
    )


def _set_back(arrows: Sequence[Arrow]) -> str:
    """What the caption says of arrows that are set back."""
    front = sum(arrow.front for arrow in arrows)
    return "" if front == len(arrows) else f"; in front the {front} on the strongest paths, the rest is pale"


def _scale(arrows: Sequence[Arrow]) -> tuple[tuple[float, str], ...]:
    """Widths of the largest size, of the one up to which widths go, and of the one between them on the scale."""
    sizes = [abs(arrow.score) for arrow in arrows if arrow.score and math.isfinite(arrow.score)]
    if not sizes or min(sizes) == max(sizes):
        return ()
    shown = [(1 - n / 2, max(sizes) * 10 ** (-decades_of(sizes) * n / 2)) for n in range(3)]
    return tuple((_width(strength), f"{size:.2g}") for strength, size in shown)


def _width(strength: float) -> float:
    return round(THIN + (THICK - THIN) * strength, 3)


def _crowd(n_arrows: int) -> float:
    return min(1.0, max(0.0, (n_arrows - FEW) / (MANY - FEW)))


def _strength(weight: float | None, largest: float, decades: float) -> float:
    return 0.0 if weight is None or math.isnan(weight) else log_strength(abs(weight), largest, decades)


def _rows(graph: WeightedGraph) -> tuple[Row, ...]:
    """A row for each level; two levels of a layer share one where no edge joins them."""
    joined, rows = {(edge.src, edge.dst) for edge in graph.edges}, list[Row]()
    levels = groupby(graph.nodes, key=lambda node: (node.layer, node.level))
    for (layer, label), nodes in ((level, tuple(row)) for level, row in levels):
        above = rows[-1].nodes if rows else ()
        together = above and above[0].layer == layer and label
        if together and not any((a.id, b.id) in joined for a in above for b in nodes):
            rows[-1] = Row(_shared_label(rows[-1].label, _line(label)), (*above, *nodes))
        else:
            rows.append(Row(_line(label), nodes))
    return tuple(rows)


def _lines(row: Row, columns: Sequence[str]) -> list[Row]:
    """A row that is too wide as several lines, in each column; the first has the label."""
    wide = max(1, len(columns))
    cells = [[node for node in row.nodes if (node.span or "") == column] for column in columns] or [list(row.nodes)]
    lines = [_cut(cell, LONGEST_ROW / wide, WRAPPED / wide, in_columns=bool(columns)) for cell in cells]
    n = max(map(len, lines))
    own = [{node.id for cell in lines for node in (cell[i] if i < len(cell) else ())} for i in range(n)]
    kept = (tuple(node for node in row.nodes if node.id in line) for line in own)
    return [Row("" if i else row.label, nodes) for i, nodes in enumerate(kept)]


def _cut(cell: Sequence[WeightedNode], longest: float, wrapped: float, *, in_columns: bool) -> list[list[WeightedNode]]:
    """Nodes in lines of about one width, that of `wrapped` narrow ones; in one line up to `longest`."""
    labels = [(node.label or node.id) if in_columns else node.text for node in cell]
    widths = [max(1.0, (len(label) + 4) / LETTERS) for label in labels]
    n = 1 if sum(widths) <= longest else math.ceil(sum(widths) / wrapped)
    found: list[list[WeightedNode]] = [[] for _ in range(n)]
    before = 0.0
    for node, width in zip(cell, widths, strict=True):
        found[min(n - 1, int((before + width / 2) * n / sum(widths)))].append(node)
        before += width
    return [line for line in found if line] or [[]]


def _shared_label(above: str, below: str) -> str:
    """That of a layer whose heads and MLP stand in one row is the layer's."""
    return above if above.startswith("layer ") and below.startswith("MLP ") else f"{above}, {below}"


def _line(text: str) -> str:
    """One printable line: a picture's XML holds no control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"


def style_of(node: WeightedNode) -> tuple[str, str]:
    """Fill and line colour of a node."""
    return NODE_COLORS.get(node.kind, NODE_COLORS["head"])
