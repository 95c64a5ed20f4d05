"""A circuit as other libraries see it: a networkx graph, a pandas table, and a notebook's HTML table."""

import math
from html import escape
from typing import TYPE_CHECKING, Any

from acdc.circuits.graph import input_of, span_of
from acdc.circuits.ranking import strongest, top_edges
from acdc.circuits.score_kinds import words_of
from acdc.circuits.weighted import WeightedGraph

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

    from acdc.circuits.circuit import Circuit

__all__ = ["MAX_LISTED_EDGES", "html_table", "to_frame", "to_networkx"]

TABLE_ROWS = 30
MAX_LISTED_EDGES = 10_000  # in a run's table


def to_networkx(graph: WeightedGraph) -> "nx.MultiDiGraph":
    """The graph as a `MultiDiGraph`; an edge's key is its input: `q`, `k`, `v` or empty.

    Nodes carry `kind`, `layer`, and `label` and `span` where they have them; edges `name`, `input`, `score` where it
    was measured, and `group` where they have one; both their attributes besides.
    """
    import networkx as nx

    found = nx.MultiDiGraph(**graph.attributes)
    for node in graph.nodes:
        told: dict[str, Any] = {"label": node.label or None, "span": node.span}
        found.add_node(node.id, kind=node.kind, layer=node.layer, **_known(told), **node.attributes)
    for edge in graph.edges:
        told = {"score": edge.weight, "group": edge.group or None}
        about = {"name": edge.name, "input": edge.input, **edge.attributes, **_known(told)}
        found.add_edge(edge.src, edge.dst, key=edge.input, **about)
    return found


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def to_frame(circuit: "Circuit", most: int | None = None) -> "pd.DataFrame":
    """One row for each edge of the graph, kept or not; `attrs` holds the scores' kind.

    Columns: `edge`, `src`, `dst` (node), `input` (q, k, v or empty), `span` where edges are split, `src_layer`,
    `dst_layer`, `score` (NaN where it wasn't measured), `kept`.

    Args:
        most: List at most so many: every kept edge in any case, and the removed ones of the largest scores.
    """
    import pandas as pd

    graph, mask, scores = circuit.graph, circuit.mask, circuit.scores
    listed = graph.edges_mask
    if most is not None and graph.n_edges > most:
        room = 0 if scores is None else most - circuit.n_edges
        listed = mask | top_edges(graph, scores, room, signed=False, among=listed & ~mask)
    rows, columns = listed.nonzero(as_tuple=True)
    sources = [graph.sources[i] for i in rows.tolist()]
    destinations = [graph.destinations[j] for j in columns.tolist()]
    sites = [graph.site_of(src, dst) for src, dst in zip(sources, destinations, strict=True)]
    frame = pd.DataFrame(
        {
            "edge": [f"{src}->{dst}" for src, dst in zip(sources, destinations, strict=True)],
            "src": sites,
            "dst": [graph.node_of(dst) for dst in destinations],
            "input": [input_of(dst) for dst in destinations],
            **({"span": [span_of(dst) for dst in destinations]} if graph.spans else {}),
            "src_layer": [graph.layer_of(src) for src in sources],
            "dst_layer": [graph.layer_of(dst) for dst in destinations],
            "score": math.nan if scores is None else scores[rows, columns].numpy(),
            "kept": mask[rows, columns].numpy(),
        }
    )
    frame.attrs["score_kind"] = circuit.score_kind
    return frame


def html_table(circuit: "Circuit", rows: int = TABLE_ROWS) -> str:
    """The strongest kept edges as an HTML table under the circuit's summary, with everything escaped."""
    shown = strongest(circuit.graph, circuit.mask, circuit.scores, rows)
    cells = {edge: "" if math.isnan(score) else f"{score:+.4g}" for edge, score in shown}
    body = "".join(f"<tr><td><code>{escape(edge)}</code></td><td>{cell}</td></tr>" for edge, cell in cells.items())
    left_out = f"<p>… and {circuit.n_edges - len(shown):,} more</p>" if circuit.n_edges > len(shown) else ""
    words = words_of(circuit.score_kind)
    head = f"<tr><th>edge</th><th>{escape(words.label)} ({escape(words.meaning)})</th></tr>"
    return f"<p><b>{escape(repr(circuit))}</b></p><table>{head}{body}</table>{left_out}"
