"""Faithfulness against size, as saved: the evaluation's curve if there is one, else what the selection went through."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.ranking import first_edges, ranked_edges
from acdc.evaluation.parts.curve import Curves
from acdc.report.findings import Findings
from acdc.report.table import Cell, Table
from acdc.report.text import number

__all__ = ["Point", "SizeCurve", "curve_table", "size_curve"]


@dataclass(frozen=True)
class Point:
    """A size, what it keeps, and whether it was measured of this circuit's strongest so many edges."""

    n_edges: int
    faithfulness: float | None
    of_this: bool


@dataclass(frozen=True)
class SizeCurve:
    """A curve, by which metric, and on which prompts it was measured."""

    points: tuple[Point, ...]
    metric: str
    prompts: str


def size_curve(findings: Findings) -> SizeCurve | None:
    """The curve of the edges ranked by the size of their scores; None where none was saved."""
    part, evaluation, record = findings.parts.get("curve"), findings.evaluation, findings.record
    if isinstance(part, Curves) and evaluation is not None:
        name = f"{part.metric}_faithfulness"
        known = {point["n_edges"]: point[name] for point in part.absolute.points}
        return SizeCurve(_points(findings.circuit, known.items()), part.metric, evaluation["prompts"]["text"])
    points = [] if record is None else record.get("evidence", {}).get("curve")
    if record is None or not points:
        return None
    arguments = record["arguments"]
    known = {point["n_edges"]: point["faithfulness"] for point in points}
    by_size = not arguments["options"].get("signed") and arguments["options"].get("positive_share") is None
    found = _points(findings.circuit, known.items(), by_size=by_size)
    return SizeCurve(found, arguments["metric"], f"{arguments['n']} prompts of the search")


def _points(circuit: Circuit, known: Iterable[tuple[int, float | None]], by_size: bool = True) -> tuple[Point, ...]:
    return tuple(Point(n, value, by_size and _is_measured(circuit, n)) for n, value in sorted(known))


def _is_measured(circuit: Circuit, n: int) -> bool:
    """Whether a curve's circuit of `n` edges is this circuit's `n` strongest: those before them in the ranking of all
    edges lie on no path, or are these."""
    graph, scores, mask = circuit.graph, circuit.scores, circuit.mask
    if scores is None or not 0 < n <= circuit.n_edges:
        return n == 0
    ranking = ranked_edges(graph, scores, signed=False)
    places = mask.flatten()[ranking].nonzero()[:n, 0]
    drawn = first_edges(graph, ranking[places], n)
    return torch.equal(graph.prune(first_edges(graph, ranking, int(places[-1]) + 1)), drawn)


def curve_table(curve: SizeCurve) -> Table:
    """The curve's points."""
    rows = tuple(
        (
            Cell(f"{point.n_edges:,}", point.n_edges),
            Cell(number(point.faithfulness) or "undefined", point.faithfulness),
            Cell("this circuit's strongest edges" if point.of_this else "the model's strongest edges"),
        )
        for point in curve.points
    )
    caption = f"Faithfulness by {curve.metric} against size, on {curve.prompts}"
    return Table("curve-table", caption, ("edges", "faithfulness", "measured of"), rows)
