"""A graph as SVG without Graphviz."""

from collections import defaultdict
from html import escape

from acdc.circuits.weighted import WeightedNode
from acdc.drawing.layout import (
    COLUMN_GAP,
    GAP,
    LETTER,
    MARGIN,
    ROLE_SIZE,
    TITLE,
    Layout,
    Place,
    lane,
    layout_of,
    node_width,
)
from acdc.drawing.scene import Arrow, Scene, style_of

__all__ = ["svg_of"]

NODE_HEIGHT, CELL_HEIGHT, ROLE_HEIGHT, HEADER, TITLES = 34.0, 13.0, 11.0, 66.0, 26.0
FEW_ROWS, MANY_ROWS = 12, 30  # between these numbers of rows, they come nearer to each other
ACROSS, ACROSS_WORDS = "#607D8B", "dotted: keys and values, read at a later span"
SAMPLE = 24  # length of a line in the legend
FONT = "Helvetica, Arial, sans-serif"


def svg_of(scene: Scene) -> str:
    """The scene as an SVG document; the same text for the same scene."""
    layout = layout_of(scene, _header_width(scene))
    many = min(1.0, max(0.0, (len(scene.rows) - FEW_ROWS) / (MANY_ROWS - FEW_ROWS)))
    width, row_height = layout.width, _node_height(scene) + (40 + 40 * scene.crowd) * (1 - 0.5 * many)
    top = HEADER + (TITLES if scene.columns else 0)
    height = top + row_height * len(scene.rows)
    ys = [top + row_height * (n + 0.5) for n in range(len(scene.rows))]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}">',
        _markers(scene),
        '<rect width="100%" height="100%" fill="white"/>',
        *_header(scene),
        *(_text(MARGIN, y + 4, row.label, 11, "#90A4AE") for row, y in zip(scene.rows, ys, strict=True)),
        *_columns(layout, height),
        *_across(scene, layout, ys),
        *_arrows(scene, layout, ys),
        *(
            _node(node, layout.nodes[node.id].x, y, scene)
            for row, y in zip(scene.rows, ys, strict=True)
            for node in row.nodes
        ),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _columns(layout: Layout, height: float) -> list[str]:
    """The name of each span above its column, and a line between neighbours."""
    names = [
        _text(x.left + x.width / 2, HEADER + 16, x.name, TITLE, "#37474F", "middle", "bold") for x in layout.columns
    ]
    lines = (column.left - COLUMN_GAP / 2 for column in layout.columns[1:])
    return names + [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{HEADER:.0f}" y2="{height:.0f}" stroke="#CFD8DC"/>' for x in lines
    ]


def _across(scene: Scene, layout: Layout, ys: list[float]) -> list[str]:
    """Dotted: what a head has read into a key or value at one span, on the way to where it is used."""
    found, half = [], _node_height(scene) / 2
    for name, other in scene.across:
        (x0, x1), y = (layout.nodes[end].x for end in (name, other)), ys[layout.nodes[name].row] + half
        found.append(
            f'<path d="M{x0:.1f} {y:.1f}C{x0:.1f} {y + 26:.1f} {x1:.1f} {y + 26:.1f} {x1:.1f} {y:.1f}" fill="none" '
            f'class="across" stroke="{ACROSS}" stroke-width="1.2" stroke-dasharray="1.5 3"/>'
        )
    return found


def _arrows(scene: Scene, layout: Layout, ys: list[float]) -> list[str]:
    """Strong arrows last, so that they lie on top."""
    lanes: dict[tuple[str, str], list[Arrow]] = defaultdict(list)
    for arrow in scene.arrows:
        lanes[arrow.src, arrow.dst].append(arrow)
    drawn = []
    for pair, arrows in lanes.items():
        for n, arrow in enumerate(arrows):
            side = lane(scene) * (n - (len(arrows) - 1) / 2)
            width = layout.lines[pair][-1].width - GAP
            end = side if not arrow.input else _port(arrow.input, scene.inputs[arrow.dst], width)
            points = _points(layout.lines[pair], ys, side, end, _node_height(scene) / 2)
            drawn.append(((arrow.front, arrow.strength), _path(arrow, points)))
    return [path for _, path in sorted(drawn, key=lambda pair: pair[0])]


def _node_height(scene: Scene) -> float:
    return NODE_HEIGHT + (ROLE_HEIGHT if scene.roles else 0)


def _points(chain: list[Place], ys: list[float], side: float, end: float, half: float) -> list[tuple[float, float]]:
    """From the lower edge of the first node, through a place in each row between, to the upper edge of the last."""
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
    w, h = node_width(node, scene) / 2, _node_height(scene) / 2
    style = f'fill="{fill}" stroke="{line}"'
    if node.kind == "input":
        return f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{w}" ry="{h}" {style}/>' + _label(node, x, y, scene)
    if node.kind not in ("mlp", "logits"):
        box = f'<rect x="{x - w:.1f}" y="{y - h:.1f}" width="{2 * w}" height="{2 * h}" {style}/>'
        middle = y + (CELL_HEIGHT / 2 if inputs else 0)
        return box + _cells(x, y - h, 2 * w, scene, inputs) + _label(node, x, middle, scene)
    slant = 12 if node.kind == "mlp" else 6
    corners = [(-w, 0), (slant - w, -h), (w - slant, -h), (w, 0), (w - slant, h), (slant - w, h)]
    if node.kind == "logits":
        corners = [(-w, slant - h), (slant - w, -h), (w - slant, -h), (w, slant - h)]
        corners += [(-dx, -dy) for dx, dy in corners]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" {style}/>' + _label(node, x, y, scene)


def _cells(x: float, top: float, node_width: float, scene: Scene, inputs: tuple[str, ...]) -> str:
    width = node_width / max(1, len(inputs))
    parts = []
    for n, kind in enumerate(inputs):
        left = x - node_width / 2 + n * width
        place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{CELL_HEIGHT}"'
        parts.append(
            f'<rect {place} fill="{scene.cell_color(kind)}"/>'
            + _text(left + width / 2, top + 10, kind, 9, "white", "middle")
        )
    return "".join(parts)


def _label(node: WeightedNode, x: float, y: float, scene: Scene) -> str:
    """The node's label, and below it its roles."""
    roles = scene.roles.get(node.id)
    if not roles:
        return _text(x, y + 4, scene.label_of(node), 12, "black", "middle")
    up = ROLE_HEIGHT / 2
    return _text(x, y + 4 - up, scene.label_of(node), 12, "black", "middle") + _text(
        x, y + 5 + up, roles, ROLE_SIZE, "#37474F", "middle"
    )


def _text(x: float, y: float, text: str, size: int, color: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def _header_width(scene: Scene) -> float:
    words = (*(meaning for _, meaning in scene.legend), *scene.notes, *(size for _, size in scene.scale))
    words += (ACROSS_WORDS,) if scene.across else ()
    legend = sum(len(word) + 6 for word in words) + 5 * len(scene.scale)
    return 2 * MARGIN + max(16 * 0.62 * len(scene.title), 12 * LETTER * len(scene.caption), 11 * LETTER * legend)


def _header(scene: Scene) -> list[str]:
    parts = [_text(MARGIN, 24.0, scene.title, 16, "black", weight="bold")] if scene.title else []
    parts.append(_text(MARGIN, 43.0, scene.caption, 12, "#546E7A"))
    x = MARGIN
    for sample, meaning in _legend(scene):
        parts.append(sample.format(x=x, end=x + SAMPLE))
        x += (SAMPLE + 4) if sample else 0
        parts.append(_text(x, 61.0, meaning, 11, "black"))
        x += 11 * LETTER * len(meaning) + 14
    return parts


def _legend(scene: Scene) -> list[tuple[str, str]]:
    """What stands in the legend: a sample of each sort of arrow, drawn from x to an end, and its meaning."""
    line = '<line x1="{{x:.1f}}" x2="{{end:.1f}}" y1="57" y2="57" stroke="{}" stroke-width="{}"{}/>'
    width, *dashed = scene.notes or ("",)
    found = [(line.format(color, 5, ""), meaning) for color, meaning in scene.legend]
    found += [("", width)] if width else []
    found += [(line.format("#555555", f"{size:g}", ""), text) for size, text in scene.scale]
    found += [(line.format("#555555", 2, ' stroke-dasharray="5 3"'), text) for text in dashed]
    return found + ([(line.format(ACROSS, 1.2, ' stroke-dasharray="1.5 3"'), ACROSS_WORDS)] if scene.across else [])


def _markers(scene: Scene) -> str:
    """An arrow's head in each colour."""
    heads = "".join(
        f'<marker id="to{color[1:]}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="{color}"/></marker>'
        for color in sorted({arrow.color for arrow in scene.arrows})
    )
    return f"<defs>{heads}</defs>"
