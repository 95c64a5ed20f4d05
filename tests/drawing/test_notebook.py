"""Circuits in a notebook: small ones as a picture, large ones as a table."""

import shutil

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.drawing import draw, html_circuit, picture
from tests.circuits.examples import GRAPHS, circuit_of
from tests.drawing.pictures import needs_dot, svg_text


@pytest.mark.parametrize("with_dot", [pytest.param(True, marks=needs_dot), False])
def test_a_notebook_shows_the_picture(with_dot: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_dot:
        monkeypatch.setattr(shutil, "which", lambda program: None)
    circuit = circuit_of(GRAPHS[0])
    page = html_circuit(circuit)
    assert {"input", "logits"} <= set(svg_text(page[page.index("<svg") : page.rindex("</div>")]))
    shown = draw(circuit, title="mine")
    assert shown == picture(circuit, title="mine") and "mine" in svg_text(shown._repr_svg_())


def test_a_notebook_shows_a_large_circuit_as_a_table() -> None:
    graph = Graph(6, 8, 64)
    scores = torch.linspace(-1, 1, graph.n_src * graph.n_dst).view(graph.n_src, graph.n_dst)
    circuit = Circuit(graph, graph.edges_mask, scores, {"task": "<script>"})
    page = html_circuit(circuit)
    assert "<svg" not in page and "<script" not in page and page == circuit._repr_html_()
    assert page.count("<tr>") == 31 and f"and {graph.n_edges - 30:,} more" in page
    assert "input-&gt;a0.h0&lt;q&gt;" in page
