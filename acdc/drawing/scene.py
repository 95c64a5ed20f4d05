"""What a picture of a circuit shows, before any renderer: rows of nodes from input to logits, and styled arrows."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import input_of, kind_of
from acdc.circuits.ranking import top_edges
from acdc.circuits.score_kinds import UNKNOWN, ScoreWords, words_of

__all__ = ["ARROW_COLORS", "MAX_DRAWN_EDGES", "NODE_COLORS", "Arrow", "Groups", "Row", "Scene", "scene_of"]

# Okabe and Ito's palette: told apart by colour-blind readers too
ARROW_COLORS = {"q": "#0072B2", "k": "#D55E00", "v": "#009E73", "": "#555555"}
NODE_COLORS = {  # kind: (fill, line)
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
    nodes: tuple[str, ...]


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
class Groups:
    """Sorts of edges that are told apart by colour, in place of the inputs that edges enter.

    Attributes:
        of: The group of each kept edge, by the edge's name.
        colors: The colour of each group, in the legend's order.
        width: What the legend says of the arrows' widths.
    """

    of: Mapping[str, str]
    colors: Mapping[str, str]
    width: str = "width: size of score"


@dataclass(frozen=True)
class Scene:
    """A picture's content; `inputs` says which of q, k and v each head is drawn with, `words` what a score is."""

    title: str
    caption: str
    rows: tuple[Row, ...]
    arrows: tuple[Arrow, ...]
    inputs: dict[str, tuple[str, ...]]
    words: ScoreWords
    groups: Groups | None = field(default=None, repr=False)

    @property
    def crowd(self) -> float:
        """How crowded the picture is, from 0 (few arrows) to 1 (many)."""
        return _crowd(len(self.arrows))

    @property
    def legend(self) -> tuple[tuple[str, str], ...]:
        """Colour and meaning of each sort of arrow that the picture has."""
        if self.groups is not None:
            counts = Counter(arrow.group for arrow in self.arrows)
            colors = {_line(group): color for group, color in self.groups.colors.items()}
            return tuple((color, f"{group} ({counts[group]:,})") for group, color in colors.items() if counts[group])
        meaning = {"q": "query input", "k": "key input", "v": "value input", "": "MLP or logits input"}
        present = {arrow.input for arrow in self.arrows}
        return tuple((ARROW_COLORS[kind], meaning[kind]) for kind in ARROW_COLORS if kind in present)

    @property
    def notes(self) -> tuple[str, ...]:
        """How to read widths and dashes, as far as the picture has them."""
        width = f"width: size of {self.words.label}" if self.groups is None else self.groups.width
        notes = [width] if any(arrow.score is not None for arrow in self.arrows) else []
        dashed = f"dashed: {self.words.negative or UNKNOWN.negative}"
        return (*notes, *([dashed] if any(arrow.dashed for arrow in self.arrows) else []))

    def cell_color(self, kind: str) -> str:
        """The colour of a head's `q`, `k` or `v` input."""
        return ARROW_COLORS[kind] if self.groups is None else CELL_COLOR


def scene_of(circuit: Circuit, *, title: str | None, max_edges: int | None, groups: Groups | None = None) -> Scene:
    """Rows and arrows of a circuit; with `max_edges`, those of the largest scores."""
    kept = _strongest(circuit, max_edges)
    shown = {end for src, dst, _ in kept for end in (src, circuit.graph.node_of(dst))} or {"input", "logits"}
    arrows = _arrows(circuit, kept, groups)
    inputs = {
        node: tuple(kind for kind in "qkv" if any(a.dst == node and a.input == kind for a in arrows)) for node in shown
    }
    return Scene(
        title=_line(circuit.origin if title is None else title),
        caption=_caption(circuit, len(kept), len(shown)),
        rows=_rows(circuit, shown),
        arrows=arrows,
        inputs=inputs,
        words=words_of(circuit.score_kind),
        groups=groups,
    )


def _strongest(circuit: Circuit, max_edges: int | None) -> list[tuple[str, str, float | None]]:
    """(source, destination, score) of the edges to draw, in the graph's order."""
    graph, mask, scores = circuit.graph, circuit.mask, circuit.scores
    shown = mask if max_edges is None else top_edges(graph, scores, max_edges, signed=False, among=mask)
    values = [math.nan] * int(shown.sum()) if scores is None else scores[shown].tolist()
    return [
        (graph.sources[i], graph.destinations[j], None if math.isnan(score) else score)
        for (i, j), score in zip(shown.nonzero().tolist(), values, strict=True)
    ]


def _arrows(circuit: Circuit, kept: list[tuple[str, str, float | None]], groups: Groups | None) -> tuple[Arrow, ...]:
    sizes = [abs(score) for _, _, score in kept if score is not None and math.isfinite(score)]
    largest = max(sizes, default=0.0)
    crowd = _crowd(len(kept))
    thin, thick = 0.8 - 0.3 * crowd, 5.0 - 2.0 * crowd
    arrows = []
    for src, dst, score in kept:
        strength = _strength(score, largest) if sizes else 0.3
        group = "" if groups is None else groups.of[f"{src}->{dst}"]
        arrows.append(
            Arrow(
                src=src,
                dst=circuit.graph.node_of(dst),
                input=input_of(dst),
                score=score,
                strength=strength,
                width=round(thin + (thick - thin) * strength, 3),
                color=ARROW_COLORS[input_of(dst)] if groups is None else groups.colors[group],
                group=_line(group),
            )
        )
    return tuple(arrows)


def _crowd(n_arrows: int) -> float:
    return min(1.0, max(0.0, (n_arrows - FEW) / (MANY - FEW)))


def _strength(score: float | None, largest: float) -> float:
    """The square root of the relative size: effects span decades, and the small ones must stay tellable."""
    if score is None or largest == 0:
        return 0.0
    return math.sqrt(min(1.0, abs(score) / largest))


def _rows(circuit: Circuit, shown: set[str]) -> tuple[Row, ...]:
    graph = circuit.graph
    heads = [[f"a{layer}.h{head}" for head in range(graph.n_heads)] for layer in range(graph.n_layers)]
    rows = [Row("", ("input",))]
    for layer, names in enumerate(heads):
        if graph.parallel:  # heads and MLP read the same stream: one level
            rows.append(Row(f"layer {layer}", (*names, f"m{layer}")))
        else:
            rows += [Row(f"layer {layer}", tuple(names)), Row(f"MLP {layer}", (f"m{layer}",))]
    rows.append(Row("", ("logits",)))
    shown_rows = (Row(row.label, tuple(node for node in row.nodes if node in shown)) for row in rows)
    return tuple(row for row in shown_rows if row.nodes)


def _caption(circuit: Circuit, n_drawn: int, n_nodes: int) -> str:
    graph = circuit.graph
    caption = f"{circuit.n_edges:,} of {graph.n_edges:,} edges, {n_nodes} nodes"
    if n_drawn < circuit.n_edges:
        caption = f"the {n_drawn:,} strongest of {circuit.n_edges:,} kept edges, {n_nodes} nodes"
    return f"{caption} ({graph.shape})"


def _line(text: str) -> str:
    """One printable line: a picture's XML holds no control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"


def style_of(node: str) -> tuple[str, str]:
    """Fill and line colour of a node."""
    return NODE_COLORS[kind_of(node)]
