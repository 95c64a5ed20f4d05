"""Where nodes and lines of a picture stand: layered as Sugiyama, Tagawa and Toda (1981).

Every edge that passes a row gets a narrow place in it, so that lines go around nodes. Rows are ordered by barycentre
sweeps; places then move towards their neighbours as far as the order and the gaps allow. Where edges are split by span,
each span has a column, which its nodes and lines keep to.

No library was found that does this as well where Graphviz is missing. igraph 1.0 gives a passing line a whole node's
room, so that pictures become twice as wide, and at GPT-2's shape it gave NaN once and crashed once; grandalf
puts nodes on rows of its own choice, where ours are the model's layers, and is under the GPL.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from acdc.circuits.weighted import WeightedNode
from acdc.drawing.scene import Scene

__all__ = ["COLUMN_GAP", "GAP", "LETTER", "MARGIN", "ROLE_SIZE", "TITLE", "Layout", "Place"]
__all__ += ["lane", "layout_of", "node_width"]

SWEEPS = 12
NODE_WIDTH, GAP = 58.0, 14.0  # of most nodes, and between nodes, in pixels
MARGIN, LABELS = 16.0, 62.0  # around the picture, and left of it for the rows' labels
LETTER, ROLE_SIZE = 0.5, 9  # width of a letter, in font sizes; the font size of roles
TITLE, COLUMN_GAP = 12, 30.0  # the font size of columns' names; between columns


@dataclass
class Column:
    """The room of a span in all rows; without spans there is one, without bounds."""

    name: str = ""
    left: float = -math.inf
    width: float = math.inf

    @property
    def middle(self) -> float:
        return self.left + self.width / 2 if math.isfinite(self.width) else 0.0


@dataclass
class Place:
    """A node's place in a row, or that of a passing edge; its width is the room that it takes."""

    row: int
    width: float
    column: Column
    up: list["Place"] = field(default_factory=list)
    down: list["Place"] = field(default_factory=list)
    x: float = 0.0


@dataclass(frozen=True)
class Layout:
    """The places of a picture.

    Attributes:
        nodes: By the nodes' ids.
        lines: For each joined pair of nodes, the places from one to the other, a place a row.
        columns: Those of the spans, from the left.
        width: Of the picture.
    """

    nodes: Mapping[str, Place]
    lines: Mapping[tuple[str, str], list[Place]]
    columns: tuple[Column, ...]
    width: float


Cell = list[Place]  # those of one row in one column, from the left


def layout_of(scene: Scene, least_width: float) -> Layout:
    """The places of a scene's nodes and lines; the same for the same scene."""
    columns = [Column(name) for name in scene.columns] or [Column()]
    nodes, lines = _places(scene, columns)
    rows = _rows_of(nodes, lines, len(scene.rows))
    if scene.columns:
        _give_room(columns, rows)
    cells = [[place for place in row if place.column is column] for row in rows for column in columns]
    _order(cells)
    _settle(cells)
    own = columns if scene.columns else []
    return Layout(nodes, lines, tuple(own), _shift(rows, own, least_width))


def _give_room(columns: list[Column], rows: list[list[Place]]) -> None:
    """A column is as wide as its fullest row; they stand side by side."""
    left = 0.0
    for column in columns:
        most = max(sum(place.width for place in row if place.column is column) for row in rows)
        column.left, column.width = left, max(most, NODE_WIDTH + GAP, TITLE * LETTER * (len(column.name) + 2))
        left += column.width + COLUMN_GAP


def _places(scene: Scene, columns: list[Column]) -> tuple[dict[str, Place], dict[tuple[str, str], list[Place]]]:
    """A place for each node, and for each joined pair of nodes the places from one to the other.

    Lines of arrows that are all set back get no place in the rows between: they go straight, and pull only at nodes
    that nothing else holds.
    """
    of_span = {column.name: column for column in columns}
    nodes = {
        node.id: Place(n, node_width(node, scene) + GAP, of_span[(node.span or "") if scene.columns else ""])
        for n, row in enumerate(scene.rows)
        for node in row.nodes
    }
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for arrow in scene.arrows:
        counts[arrow.src, arrow.dst] += arrow.front
    held = {end for pair, count in counts.items() if count for end in pair}
    chains = {}
    for (src, dst), count in counts.items():
        first, last = nodes[src], nodes[dst]
        room = range(first.row + 1, last.row) if count else range(0)
        chain = [first, *(Place(n, lane(scene) * (count + 0.5), first.column) for n in room), last]
        if count or not {src, dst} <= held:
            for upper, lower in pairwise(chain):
                upper.down.append(lower)
                lower.up.append(upper)
        chains[src, dst] = chain
    return nodes, chains


def node_width(node: WeightedNode, scene: Scene) -> float:
    """As drawn: as wide as its label and its roles need."""
    letters = (12 * (len(scene.label_of(node)) + 2), ROLE_SIZE * (len(scene.roles.get(node.id, "")) + 5))
    return max(NODE_WIDTH, LETTER * max(letters))


def lane(scene: Scene) -> float:
    """The distance of passing lines."""
    return 10.0 - 5.0 * scene.crowd


def _rows_of(nodes: dict[str, Place], chains: dict[tuple[str, str], list[Place]], n_rows: int) -> list[list[Place]]:
    rows: list[list[Place]] = [[] for _ in range(n_rows)]
    for place in (*nodes.values(), *(place for chain in chains.values() for place in chain[1:-1])):
        rows[place.row].append(place)
    return rows


def _order(cells: list[Cell]) -> None:
    """Sort each cell by the mean position of its neighbours in the rows before, down and up again."""
    for cell in cells:
        _pack(cell)
    for sweep in range(2 * SWEEPS):
        downward = sweep % 2 == 0
        for cell in cells if downward else reversed(cells):
            wish = {id(place): _mean(place.up if downward else place.down, place.x) for place in cell}
            cell.sort(key=lambda place: wish[id(place)])
            _pack(cell)


def _pack(cell: Cell) -> None:
    x = (cell[0].column.middle if cell else 0.0) - sum(place.width for place in cell) / 2
    for place in cell:
        place.x = x + place.width / 2
        x += place.width


def _mean(places: list[Place], otherwise: float) -> float:
    return sum(place.x for place in places) / len(places) if places else otherwise


def _settle(cells: list[Cell]) -> None:
    """Move each place towards its neighbours without changing the order, or leaving its column."""
    for sweep in range(2 * SWEEPS):
        for cell in cells if sweep % 2 == 0 else reversed(cells):
            _fit(cell, [_mean(place.up + place.down, place.x) for place in cell])
            _confine(cell)


def _confine(cell: Cell) -> None:
    """Push what sticks out of its column back into it; it has room for all."""
    column = cell[0].column if cell else Column()
    if not math.isfinite(column.width):
        return
    edge = column.left
    for place in cell:
        place.x = max(place.x, edge + place.width / 2)
        edge = place.x + place.width / 2
    edge = column.left + column.width
    for place in reversed(cell):
        place.x = min(place.x, edge - place.width / 2)
        edge = place.x - place.width / 2


def _fit(row: list[Place], wishes: list[float]) -> None:
    """The nearest positions to the wishes, in least squares, that keep order and widths: pool adjacent violators."""
    offsets, x = [], 0.0
    for n, place in enumerate(row):
        x += (row[n - 1].width + place.width) / 2 if n else 0.0
        offsets.append(x)
    blocks: list[tuple[float, int]] = []  # (mean of wish - offset, how many)
    for wish, offset in zip(wishes, offsets, strict=True):
        mean, count = wish - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, n = blocks.pop()
            mean, count = (before * n + mean * count) / (n + count), n + count
        blocks.append((mean, count))
    starts = [mean for mean, count in blocks for _ in range(count)]
    for place, start, offset in zip(row, starts, offsets, strict=True):
        place.x = start + offset


def _shift(rows: list[list[Place]], columns: list[Column], least: float) -> float:
    """Move everything to the right of the labels; the width of the picture."""
    places = [place for row in rows for place in row]
    left = min([place.x - place.width / 2 for place in places] + [column.left for column in columns])
    right = max([place.x + place.width / 2 for place in places] + [column.left + column.width for column in columns])
    width = max(right - left + LABELS + 2 * MARGIN, least)
    shift = MARGIN + LABELS - left + (width - (right - left + LABELS + 2 * MARGIN)) / 2
    for place in places:
        place.x += shift
    for column in columns:
        column.left += shift
    return width
