"""Coloured grids of a page: patching maps, lenses, agreement, probes."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from acdc.interpret.explanation import Agreement, Explanation, Grid, Lens, PatchingMap, ProbeTable
from acdc.report.table import Cell, Cells, Heat, diverging, sequential
from acdc.report.text import label, number, share, token, visible

__all__ = ["agreement_heats", "lens_heats", "map_heats", "probe_heats"]

Color = Callable[[float | None], str]


def map_heats(told: Explanation) -> Iterator[Heat]:
    """Patching maps."""
    for i, found in enumerate(told.maps):
        yield Heat(
            id=f"map-{i}",
            caption=f"{found.direction.capitalize()}: {found.site}, by {found.metric}, {found.n_prompts} prompts",
            rows=_labels(found.rows),
            columns=_labels(found.columns),
            layers={"effect": _map_cells(found)},
            about=(_map_words(found),),
        )


def _map_words(found: PatchingMap) -> str:
    what = {
        "denoising": "Clean activations put into the corrupted run, one place at a time: 1 brings all of it back",
        "noising": "Corrupted activations put into the clean run, one place at a time: 1 takes all of it away",
    }[found.direction]
    ends = f"{found.metric} is {number(found.clean)} clean and {number(found.corrupt)} corrupted"
    return f"{what}; {ends}. Dotted cells are 0 or 1 by construction."


def _map_cells(found: PatchingMap) -> Cells:
    trivial = set(found.trivial)
    return tuple(
        tuple(
            Cell(
                number(value),
                value,
                diverging(value) + (" trivial" if (r, c) in trivial else ""),
                f"{found.rows[r]}, {found.columns[c]}: {number(value, sign=True) or 'not measured'}",
            )
            for c, value in enumerate(row)
        )
        for r, row in enumerate(found.values)
    )


def lens_heats(told: Explanation) -> Iterator[Heat]:
    """Logit and tuned lenses: the top token first, then rank, probability, KL and entropy."""
    for i, found in enumerate(told.lenses):
        where = "mean over the prompts" if found.prompt is None else f"prompt {found.prompt + 1}"
        yield Heat(
            id=f"lens-{i}",
            caption=f"{found.kind.capitalize()}, {where}",
            rows=_labels(found.rows),
            columns=_labels(found.columns),
            layers=dict(_lens_layers(found)),
            about=("What the output would be if the residual stream were read at this place: no intervention.",),
        )


def _lens_layers(found: Lens) -> Iterator[tuple[str, Cells]]:
    if found.top:
        yield "top token", tuple(tuple(_top_cell(cell) for cell in row) for row in found.top)
    if found.probability:
        yield "probability of the answer", _cells(found.probability, sequential, share)
    if found.rank:
        yield "rank of the answer", _cells(found.rank, lambda rank: sequential(None if not rank else 1 / rank), _whole)
    for name, grid in (("KL to the output, nats", found.kl), ("entropy, nats", found.entropy)):
        if grid:
            yield name, _cells(grid, _scaled(grid), number)


def _top_cell(tops: list[tuple[str, float]]) -> Cell:
    if not tops:
        return Cell("")
    (text, p), words = tops[0], ", ".join(f"{token(text)} {share(p)}" for text, p in tops)
    return Cell(token(text), p, sequential(p), words)


def agreement_heats(told: Explanation) -> Iterator[Heat]:
    """Nodes by ways of measuring, and how these go together."""
    found = told.agreement
    if found is None:
        return
    yield Heat(
        id="agreement",
        caption="What each way of measuring says of each node",
        rows=_labels(found.nodes),
        columns=(*_labels(found.columns), *(("verdict",) if found.verdicts else ())),
        layers={"value": _agreement_cells(found)},
        about=("Coloured within each column, by size relative to the column's largest.",),
    )
    if found.correlations:
        yield Heat(
            id="agreement-correlations",
            caption="Rank correlation (Spearman) of these columns",
            rows=_labels(found.columns),
            columns=_labels(found.columns),
            layers={"correlation": _cells(found.correlations, diverging, number)},
        )


def _agreement_cells(found: Agreement) -> Cells:
    largest = [
        max((abs(v) for v in column if v is not None), default=0.0) for column in zip(*found.values, strict=True)
    ]
    rows = []
    for i, row in enumerate(found.values):
        cells = [Cell(number(v, sign=True), v, diverging(v, top)) for v, top in zip(row, largest, strict=True)]
        rows.append((*cells, *((Cell(visible(found.verdicts[i])),) if found.verdicts else ())))
    return tuple(rows)


def probe_heats(told: Explanation) -> Iterator[Heat]:
    """Where each label is encoded."""
    for i, found in enumerate(told.probes):
        yield Heat(
            id=f"probe-{i}",
            caption=f"Probe of {visible(found.label)}: held-out accuracy by layer and position",
            rows=_labels(found.rows),
            columns=_labels(found.columns),
            layers=dict(_probe_layers(found)),
            about=(
                *((f"Classes: {', '.join(map(visible, found.classes))}.",) if found.classes else ()),
                f"{found.n_train} prompts trained on, {found.n_test} tested on; the commonest label alone gives "
                f"{share(found.majority)}. That a label can be read doesn't say that the model reads it: see causal.",
            ),
        )


def _probe_layers(found: ProbeTable) -> Iterator[tuple[str, Cells]]:
    yield "accuracy", _accuracies(found)
    if found.control:
        yield "control (random labels)", _cells(found.control, sequential, share)
        pairs = zip(found.accuracy, found.control, strict=True)
        selectivity = [[_minus(a, b) for a, b in zip(row, other, strict=True)] for row, other in pairs]
        yield "selectivity", _cells(selectivity, diverging, number)
    if found.causal:
        yield "causal", _cells(found.causal, diverging, number)


def _accuracies(found: ProbeTable) -> Cells:
    """With the bounds of each, on hovering."""
    cells = _cells(found.accuracy, sequential, share)
    if not (found.low and found.high):
        return cells
    bounds = zip(cells, found.low, found.high, strict=True)
    return tuple(
        tuple(
            replace(cell, title=f"{cell.text} [{share(low)}, {share(high)}]")
            for cell, low, high in zip(*rows, strict=True)
        )
        for rows in bounds
    )


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _cells(grid: Grid, color: Color, text: Callable[[float | None], str]) -> Cells:
    return tuple(tuple(Cell(text(value), value, color(value)) for value in row) for row in grid)


def _scaled(grid: Grid) -> Color:
    largest = max((value for row in grid for value in row if value is not None), default=0.0)
    return lambda value: sequential(value, largest)


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value == int(value) else number(value)


def _labels(names: list[str]) -> tuple[str, ...]:
    return tuple(label(name) for name in names)
