"""A graph as SVG without Graphviz: layered as Sugiyama, Tagawa and Toda (1981), in plain Python.

Every edge that passes a row gets a narrow place in it, so that lines go around nodes. Rows are ordered by barycentre
sweeps; places then move towards their neighbours as far as the order and the gaps allow.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from acdc.circuits.weighted import WeightedNode
from acdc.drawing.scene import Arrow, Scene, style_of

__all__ = ["svg_of"]

SWEEPS = 12
NODE_WIDTH, NODE_HEIGHT, CELL_HEIGHT = 58.0, 34.0, 13.0
GAP = 14.0  # between nodes
MARGIN, LABELS, HEADER = 16.0, 62.0, 66.0
LETTER = 0.5  # width of a letter, in font sizes
FONT = "Helvetica, Arial, sans-serif"


@dataclass
class _Place:
    """A node's place in a row, or that of a passing edge; its width is the room that it takes."""

    row: int
    width: float
    up: list["_Place"] = field(default_factory=list)
    down: list["_Place"] = field(default_factory=list)
    x: float = 0.0


def svg_of(scene: Scene) -> str:
    """The scene as an SVG document; the same text for the same scene."""
    nodes, chains = _places(scene)
    rows = _rows_of(nodes, chains, len(scene.rows))
    _order(rows)
    _settle(rows)
    width = _shift(rows, _header_width(scene))
    row_height = NODE_HEIGHT + 40 + 40 * scene.crowd
    height = HEADER + row_height * len(rows)
    ys = [HEADER + row_height * (n + 0.5) for n in range(len(rows))]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}">',
        _markers(scene),
        '<rect width="100%" height="100%" fill="white"/>',
        *_header(scene),
        *(_text(MARGIN, y + 4, row.label, 11, "#90A4AE") for row, y in zip(scene.rows, ys, strict=True)),
        *_arrows(scene, chains, ys),
        *(_node(node, nodes[node.id].x, y, scene) for row, y in zip(scene.rows, ys, strict=True) for node in row.nodes),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _places(scene: Scene) -> tuple[dict[str, _Place], dict[tuple[str, str], list[_Place]]]:
    """A place for each node, and for each joined pair of nodes the places from one to the other."""
    nodes = {node.id: _Place(n, _width(node) + GAP) for n, row in enumerate(scene.rows) for node in row.nodes}
    lines: dict[tuple[str, str], int] = defaultdict(int)
    for arrow in scene.arrows:
        lines[arrow.src, arrow.dst] += 1
    chains = {}
    for (src, dst), count in lines.items():
        first, last = nodes[src], nodes[dst]
        between = [_Place(n, _lane(scene) * (count + 0.5)) for n in range(first.row + 1, last.row)]
        chain = [first, *between, last]
        for upper, lower in pairwise(chain):
            upper.down.append(lower)
            lower.up.append(upper)
        chains[src, dst] = chain
    return nodes, chains


def _width(node: WeightedNode) -> float:
    """As drawn: as wide as its label needs."""
    return max(NODE_WIDTH, 12 * LETTER * (len(node.text) + 2))


def _lane(scene: Scene) -> float:
    """The distance of passing lines."""
    return 10.0 - 5.0 * scene.crowd


def _rows_of(nodes: dict[str, _Place], chains: dict[tuple[str, str], list[_Place]], n_rows: int) -> list[list[_Place]]:
    rows: list[list[_Place]] = [[] for _ in range(n_rows)]
    for place in (*nodes.values(), *(place for chain in chains.values() for place in chain[1:-1])):
        rows[place.row].append(place)
    return rows


def _order(rows: list[list[_Place]]) -> None:
    """Sort each row by the mean position of its neighbours in the row before, down and up again."""
    for row in rows:
        _pack(row)
    for sweep in range(2 * SWEEPS):
        downward = sweep % 2 == 0
        for row in rows if downward else reversed(rows):
            wish = {id(place): _mean(place.up if downward else place.down, place.x) for place in row}
            row.sort(key=lambda place: wish[id(place)])
            _pack(row)


def _pack(row: list[_Place]) -> None:
    x = -sum(place.width for place in row) / 2
    for place in row:
        place.x = x + place.width / 2
        x += place.width


def _mean(places: list[_Place], otherwise: float) -> float:
    return sum(place.x for place in places) / len(places) if places else otherwise


def _settle(rows: list[list[_Place]]) -> None:
    """Move each place towards its neighbours without changing the order."""
    for sweep in range(2 * SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            _fit(row, [_mean(place.up + place.down, place.x) for place in row])


def _fit(row: list[_Place], wishes: list[float]) -> None:
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


def _shift(rows: list[list[_Place]], least: float) -> float:
    """Move everything to the right of the labels; the width of the picture."""
    places = [place for row in rows for place in row]
    left = min(place.x - place.width / 2 for place in places)
    right = max(place.x + place.width / 2 for place in places)
    width = max(right - left + LABELS + 2 * MARGIN, least)
    shift = MARGIN + LABELS - left + (width - (right - left + LABELS + 2 * MARGIN)) / 2
    for place in places:
        place.x += shift
    return width


def _arrows(scene: Scene, chains: dict[tuple[str, str], list[_Place]], ys: list[float]) -> list[str]:
    """Strong arrows last, so that they lie on top."""
    lanes: dict[tuple[str, str], list[Arrow]] = defaultdict(list)
    for arrow in scene.arrows:
        lanes[arrow.src, arrow.dst].append(arrow)
    drawn = []
    for pair, arrows in lanes.items():
        for n, arrow in enumerate(arrows):
            side = _lane(scene) * (n - (len(arrows) - 1) / 2)
            width = chains[pair][-1].width - GAP
            end = side if not arrow.input else _port(arrow.input, scene.inputs[arrow.dst], width)
            drawn.append((arrow.strength, _path(arrow, _points(chains[pair], ys, side, end))))
    return [path for _, path in sorted(drawn, key=lambda pair: pair[0])]


def _points(chain: list[_Place], ys: list[float], side: float, end: float) -> list[tuple[float, float]]:
    """From the lower edge of the first node, through a place in each row between, to the upper edge of the last."""
    half = NODE_HEIGHT / 2
    first, *between, last = chain
    start = (first.x + max(-half, min(half, side)), ys[first.row] + half)
    return [start, *((place.x + side, ys[place.row]) for place in between), (last.x + end, ys[last.row] - half - 2)]


def _port(kind: str, inputs: tuple[str, ...], width: float) -> float:
    return width * ((inputs.index(kind) + 0.5) / len(inputs) - 0.5)


def _path(arrow: Arrow, points: list[tuple[float, float]]) -> str:
    """A smooth line: vertical at both ends, and at each point between in the direction of its neighbours."""
    tangents = [(0.0, (points[1][1] - points[0][1]))]
    tangents += [((c[0] - a[0]) / 2, (c[1] - a[1]) / 2) for a, c in zip(points, points[2:], strict=False)]
    tangents.append((0.0, points[-1][1] - points[-2][1]))
    curve = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1), (dx0, dy0), (dx1, dy1) in zip(points, points[1:], tangents, tangents[1:], strict=False):
        curve.append(
            f"C{x0 + dx0 / 3:.1f} {y0 + dy0 / 2.5:.1f} {x1 - dx1 / 3:.1f} {y1 - dy1 / 2.5:.1f} {x1:.1f} {y1:.1f}"
        )
    dashes = ' stroke-dasharray="5 3"' if arrow.dashed else ""
    return (
        f'<path d="{"".join(curve)}" fill="none" stroke="{arrow.color}" stroke-width="{arrow.width:g}"{dashes} '
        f'opacity="{arrow.opacity:g}" marker-end="url(#to{arrow.color[1:]})"><title>{escape(arrow.text)}</title></path>'
    )


def _node(node: WeightedNode, x: float, y: float, scene: Scene) -> str:
    (fill, line), inputs = style_of(node), scene.inputs[node.id]
    w, h = _width(node) / 2, NODE_HEIGHT / 2
    style = f'fill="{fill}" stroke="{line}"'
    if node.kind == "input":
        return f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{w}" ry="{h}" {style}/>' + _label(node, x, y)
    if node.kind not in ("mlp", "logits"):
        box = f'<rect x="{x - w:.1f}" y="{y - h:.1f}" width="{2 * w}" height="{2 * h}" {style}/>'
        return box + _cells(x, y, 2 * w, scene, inputs) + _label(node, x, y + (CELL_HEIGHT / 2 if inputs else 0))
    slant = 12 if node.kind == "mlp" else 6
    corners = [(-w, 0), (slant - w, -h), (w - slant, -h), (w, 0), (w - slant, h), (slant - w, h)]
    if node.kind == "logits":
        corners = [(-w, slant - h), (slant - w, -h), (w - slant, -h), (w, slant - h)]
        corners += [(-dx, -dy) for dx, dy in corners]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" {style}/>' + _label(node, x, y)


def _cells(x: float, y: float, node_width: float, scene: Scene, inputs: tuple[str, ...]) -> str:
    width = node_width / max(1, len(inputs))
    parts = []
    for n, kind in enumerate(inputs):
        left, top = x - node_width / 2 + n * width, y - NODE_HEIGHT / 2
        place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{CELL_HEIGHT}"'
        parts.append(
            f'<rect {place} fill="{scene.cell_color(kind)}"/>'
            + _text(left + width / 2, top + 10, kind, 9, "white", "middle")
        )
    return "".join(parts)


def _label(node: WeightedNode, x: float, y: float) -> str:
    return _text(x, y + 4, node.text, 12, "black", "middle")


def _text(x: float, y: float, text: str, size: int, color: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def _header_width(scene: Scene) -> float:
    legend = sum(len(word) + 6 for word in (*(meaning for _, meaning in scene.legend), *scene.notes))
    return 2 * MARGIN + max(16 * 0.62 * len(scene.title), 12 * LETTER * len(scene.caption), 11 * LETTER * legend)


def _header(scene: Scene) -> list[str]:
    parts = [_text(MARGIN, 24.0, scene.title, 16, "black", weight="bold")] if scene.title else []
    parts.append(_text(MARGIN, 43.0, scene.caption, 12, "#546E7A"))
    x = MARGIN
    for color, meaning in (*scene.legend, *(("", note) for note in scene.notes)):
        if color:
            parts.append(f'<rect x="{x:.1f}" y="54" width="14" height="5" fill="{color}"/>')
            x += 18
        parts.append(_text(x, 61.0, meaning, 11, "black"))
        x += 11 * LETTER * len(meaning) + 14
    return parts


def _markers(scene: Scene) -> str:
    """An arrow's head in each colour."""
    heads = "".join(
        f'<marker id="to{color[1:]}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="{color}"/></marker>'
        for color in sorted({arrow.color for arrow in scene.arrows})
    )
    return f"<defs>{heads}</defs>"
