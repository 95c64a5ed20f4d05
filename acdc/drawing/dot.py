"""A graph in Graphviz's DOT: a rank for each level of the model, from input (top) to logits (bottom)."""

from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING

import graphviz

from acdc.circuits.weighted import WeightedGraph, WeightedNode
from acdc.drawing.scene import MAX_DRAWN_EDGES, Arrow, Scene, scene_of, style_of

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit

__all__ = ["dot_of", "to_dot"]

FONT = "Helvetica"
SHAPES = {"input": "oval", "mlp": "hexagon", "logits": "doubleoctagon"}


def to_dot(
    graph: "WeightedGraph | Circuit",
    *,
    title: str | None = None,
    max_edges: int | None = MAX_DRAWN_EDGES,
    colors: Mapping[str, str] = MappingProxyType({}),
    roles: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> graphviz.Digraph:
    """The graph as DOT: one edge for each of its edges, the same text for the same graph; arguments as for `draw`.

    A head is a box with a cell for each of its inputs (q, k, v) that an edge enters; an MLP is a hexagon. An edge's
    colour says which input it enters, its width the size of its weight, dashes a negative weight.
    """
    return dot_of(scene_of(graph, title=title, max_edges=max_edges, colors=colors, roles=roles))


def dot_of(scene: Scene) -> graphviz.Digraph:
    """The scene as DOT."""
    crowd = scene.crowd
    dot = graphviz.Digraph("circuit")
    dot.attr(bgcolor="white", fontname=FONT, labelloc="t", labeljust="l", label=_header(scene))
    dot.attr(rankdir="TB", newrank="true", splines="true", outputorder="edgesfirst")
    # Graphviz keeps `nodesep` between passing lines too, so a crowd of them would push the nodes far apart
    dot.attr(nodesep=f"{0.2 - 0.17 * crowd:.2f}", ranksep=f"{0.45 + 0.4 * crowd:.2f}")
    dot.attr("node", fontname=FONT, fontsize="12", style="filled", height="0.35", width="0.5", margin="0.09,0.04")
    dot.attr("edge", arrowsize="0.45", fontname=FONT, fontsize="9")
    for n, row in enumerate(scene.rows):
        _add_rank(dot, n, row.label, row.nodes, scene)
    for n in range(len(scene.rows) - 1):
        dot.edge(f"rank{n}", f"rank{n + 1}", style="invis", weight="50")
    for arrow in scene.arrows:
        _add_edge(dot, arrow)
    for name, other in scene.across:
        dot.edge(name, other, style="dotted", arrowhead="none", color="#607D8B", constraint="false")
    return dot


def _add_rank(dot: graphviz.Digraph, n: int, label: str, nodes: tuple[WeightedNode, ...], scene: Scene) -> None:
    with dot.subgraph() as rank:
        rank.attr(rank="same")
        rank.node(f"rank{n}", label, shape="plaintext", style="", fontcolor="#90A4AE", fontsize="11")
        for node in nodes:
            fill, line = style_of(node)
            if node.kind in SHAPES:
                rank.node(node.id, _plain_label(node, scene), shape=SHAPES[node.kind], fillcolor=fill, color=line)
            else:
                rank.node(node.id, _box_label(node, scene), shape="plain", style="")


def _plain_label(node: WeightedNode, scene: Scene) -> str | None:
    roles = scene.roles.get(node.id)
    if roles:
        return f"{graphviz.escape(node.text)}\\n{graphviz.escape(roles)}"
    return None if node.text == node.id else graphviz.escape(node.text)


def _box_label(node: WeightedNode, scene: Scene) -> str:
    """A box with the node's label under a cell for each input that is used; edges end at the cells."""
    (fill, line), inputs = style_of(node), scene.inputs[node.id]
    cells = "".join(
        f'<TD PORT="{kind}" BGCOLOR="{scene.cell_color(kind)}"><FONT COLOR="white" POINT-SIZE="9">{kind}</FONT></TD>'
        for kind in inputs
    )
    top = f"<TR>{cells}</TR>" if cells else ""
    span, roles = max(1, len(inputs)), scene.roles.get(node.id, "")
    below = f'<BR/><FONT POINT-SIZE="9">{_escape(roles)}</FONT>' if roles else ""
    return (
        f'<<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2" COLOR="{line}" '
        f'BGCOLOR="{fill}">{top}<TR><TD COLSPAN="{span}" CELLPADDING="4">{_escape(node.text)}{below}</TD></TR></TABLE>>'
    )


def _add_edge(dot: graphviz.Digraph, arrow: Arrow) -> None:
    alpha = f"{round(255 * arrow.opacity):02X}"
    dot.edge(
        arrow.src,
        f"{arrow.dst}:{arrow.input}:n" if arrow.input else arrow.dst,
        color=arrow.color + alpha,
        penwidth=f"{arrow.width:g}",
        style="dashed" if arrow.dashed else "solid",
        tooltip=graphviz.escape(arrow.text),
        **({} if arrow.front else {"constraint": "false", "arrowsize": "0.25"}),
    )


def _header(scene: Scene) -> str:
    """Title, caption and legend as an HTML-like label."""
    title = f'<FONT POINT-SIZE="16"><B>{_escape(scene.title)}</B></FONT>' if scene.title else ""
    caption = f'<FONT POINT-SIZE="12" COLOR="#546E7A">{_escape(scene.caption)}</FONT>'
    chips = [f'<FONT COLOR="{color}"><B>&#9644;</B></FONT> {escape(meaning)}' for color, meaning in scene.legend]
    sizes = [f"thick {scene.scale[0][1]}, thin {scene.scale[-1][1]} (logarithm)"] if scene.scale else []
    legend = " &#160; ".join([*chips, *map(escape, (*scene.notes[:1], *sizes, *scene.notes[1:]))])
    legend = f'<FONT POINT-SIZE="11">{legend}</FONT>' if legend else ""
    rows = "".join(f'<TR><TD ALIGN="LEFT">{row}</TD></TR>' for row in (title, caption, legend) if row)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1" CELLPADDING="1">{rows}</TABLE>>'


def _escape(text: str) -> str:
    r"""Escaped for an HTML-like label, where Graphviz still replaces \G and the like within a run of text."""
    return escape(text).replace("\\", '<FONT COLOR="#000000">\\</FONT>')
