"""How a notebook shows a circuit: its picture, or, for a large one, a table of its strongest edges."""

import math
from collections.abc import Iterable
from html import escape

from acdc.circuits.circuit import MAX_DRAWN_EDGES, Circuit
from acdc.circuits.score_kinds import words_of
from acdc.drawing.render import picture

__all__ = ["facts_html", "html_circuit", "html_table", "mimebundle"]

TABLE_ROWS = 30


def mimebundle(circuit: Circuit) -> dict[str, str]:
    """The circuit as SVG, or as an HTML table where it is too large to draw at once."""
    if circuit.n_edges <= MAX_DRAWN_EDGES:
        return {"image/svg+xml": picture(circuit).svg}
    return {"text/html": html_table(circuit)}


def html_circuit(circuit: Circuit) -> str:
    """The same within a page: the SVG inline, or the table."""
    bundle = mimebundle(circuit)
    svg = bundle.get("image/svg+xml", "")
    return f"<div>{svg[svg.find('<svg') :]}</div>" if svg else bundle["text/html"]


def facts_html(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Named lines of text as an HTML table under a title, with everything escaped."""
    rows = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">{escape(text)}</td></tr>'
        for name, text in facts
    )
    return f"<p><b>{escape(title)}</b></p><table>{rows}</table>"


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
