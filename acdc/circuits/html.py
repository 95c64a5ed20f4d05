"""A circuit as an HTML table: what a notebook shows of it. `acdc.draw` gives a picture."""

import math
from html import escape
from typing import TYPE_CHECKING

from acdc.circuits.ranking import strongest
from acdc.circuits.score_kinds import words_of

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit

__all__ = ["html_table"]

TABLE_ROWS = 30


def html_table(circuit: "Circuit", rows: int = TABLE_ROWS) -> str:
    """The strongest kept edges as an HTML table under the circuit's summary, with everything escaped."""
    shown = strongest(circuit.graph, circuit.mask, circuit.scores, rows)
    cells = {edge: "" if math.isnan(score) else f"{score:+.4g}" for edge, score in shown}
    body = "".join(f"<tr><td><code>{escape(edge)}</code></td><td>{cell}</td></tr>" for edge, cell in cells.items())
    left_out = f"<p>… and {circuit.n_edges - len(shown):,} more</p>" if circuit.n_edges > len(shown) else ""
    words = words_of(circuit.score_kind)
    head = f"<tr><th>edge</th><th>{escape(words.label)} ({escape(words.meaning)})</th></tr>"
    return f"<p><b>{escape(repr(circuit))}</b></p><table>{head}{body}</table>{left_out}"
