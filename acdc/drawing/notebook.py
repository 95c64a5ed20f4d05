"""How a notebook shows a circuit: its picture, or, for a large one, a table of its strongest edges."""

import math
from html import escape

from acdc.circuit import MAX_DRAWN_EDGES, Circuit
from acdc.drawing.render import picture
from acdc.score_kinds import words_of

__all__ = ["html_table", "mimebundle"]

TABLE_ROWS = 30


def mimebundle(circuit: Circuit) -> dict[str, str]:
    """The circuit as SVG, or as an HTML table where it is too large to draw at once."""
    if circuit.n_edges <= MAX_DRAWN_EDGES:
        return {"image/svg+xml": picture(circuit).svg}
    return {"text/html": html_table(circuit)}


def html_table(circuit: Circuit, rows: int = TABLE_ROWS) -> str:
    """The strongest kept edges as an HTML table under the circuit's summary, with everything escaped."""
    scores, parse = circuit.scores, circuit.graph.parse_edge
    values = {edge: math.nan if scores is None else float(scores[parse(edge)]) for edge in circuit.edges}
    strongest = sorted(values, key=lambda edge: 0.0 if math.isnan(values[edge]) else -abs(values[edge]))[:rows]
    cells = {edge: "" if math.isnan(values[edge]) else f"{values[edge]:+.4g}" for edge in strongest}
    body = "".join(f"<tr><td><code>{escape(edge)}</code></td><td>{cell}</td></tr>" for edge, cell in cells.items())
    left_out = f"<p>… and {len(values) - len(strongest):,} more</p>" if len(values) > len(strongest) else ""
    words = words_of(circuit.score_kind)
    head = f"<tr><th>edge</th><th>{escape(words.label)} ({escape(words.meaning)})</th></tr>"
    return f"<p><b>{escape(repr(circuit))}</b></p><table>{head}{body}</table>{left_out}"
