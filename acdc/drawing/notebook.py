"""What a notebook shows of a run: facts in a table, and the circuit's picture, or a table where it is large."""

from collections.abc import Iterable
from html import escape

from acdc.circuits.circuit import Circuit
from acdc.circuits.views import html_table
from acdc.drawing.render import picture
from acdc.drawing.scene import MAX_DRAWN_EDGES

__all__ = ["facts_html", "html_circuit"]


def html_circuit(circuit: Circuit) -> str:
    """The circuit's picture within a page, or, where it is too large to draw at once, its table."""
    if circuit.n_edges > MAX_DRAWN_EDGES:
        return html_table(circuit)
    svg = picture(circuit).svg
    return f"<div>{svg[svg.find('<svg') :]}</div>"


def facts_html(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Named lines of text as an HTML table under a title, with everything escaped."""
    rows = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">{escape(text)}</td></tr>'
        for name, text in facts
    )
    return f"<p><b>{escape(title)}</b></p><table>{rows}</table>"
