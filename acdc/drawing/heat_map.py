"""Heat maps of numbers over rows and columns, with words at both and in the cells: lenses, patching maps."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from acdc.errors import RunError
from acdc.evaluation.figures import new_figure, save_figure

__all__ = ["HeatMap", "draw_heat_map", "shown_token"]

CELL_HEIGHT, LETTER, LEAST_WIDTH = 0.23, 0.085, 0.42  # inches
LONGEST, LONGEST_LABEL = 12, 24  # letters of a cell's word, and of a column's
MARGINS = (2.2, 1.5)  # inches beside the cells for labels and the scale
LARGEST = 120.0  # inches of a side
BOTH_WAYS = ("#1B5E9E", "#7FB2DA", "#F7F7F7", "#F1A340", "#A34700")  # blue to orange: safe for colour-blind eyes
ONE_WAY = ("#FFFFFF", "#BBD6EB", "#5B9BD0", "#1B5E9E", "#0B2F57")
GREY = "#D5D8DC"


@dataclass(frozen=True)
class HeatMap:
    """What a heat map shows.

    Attributes:
        rows, columns: Words, from the top and from the left. A token is written by `shown_token`.
        values: `[row][column]`; None: nothing is known.
        unit: What a value is, beside the scale.
        texts: A word for each cell; empty: none.
        both_ways: Values go below 0 too, and 0 is white.
        shaded: Cells, as (row, column), that are so by construction: hatched.
        note: A line below.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    title: str = ""
    unit: str = ""
    texts: Sequence[Sequence[str]] = ()
    both_ways: bool = False
    shaded: Sequence[tuple[int, int]] = ()
    note: str = ""


def draw_heat_map(heat: HeatMap, path: str | os.PathLike[str]) -> Path:
    """Draw it into a file: `.svg`, `.png` or `.pdf`.

    Raises:
        RunError: The path's ending is none of these, there is no cell, or it would be larger than ten feet.
    """
    from matplotlib.colors import LinearSegmentedColormap

    values = _numbers(heat)
    figure = new_figure(path, _size(heat))
    axes = figure.subplots()
    colors = LinearSegmentedColormap.from_list("acdc", BOTH_WAYS if heat.both_ways else ONE_WAY)
    low, high = _ends(values, heat.both_ways)
    image = axes.imshow(np.ma.masked_invalid(values), cmap=colors, vmin=low, vmax=high, aspect="auto")
    axes.set_facecolor(GREY)
    axes.set_xticks(
        range(len(heat.columns)),
        [shown_token(column, LONGEST_LABEL) for column in heat.columns],
        rotation=90,
        fontsize=7,
    )
    axes.set_yticks(range(len(heat.rows)), heat.rows, fontsize=7)
    for tick in (*axes.xaxis.get_major_ticks(), *axes.yaxis.get_major_ticks()):
        for label in (tick.label1, tick.label2):
            label.set_parse_math(False)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    _write_texts(axes, heat, image, values)
    for row, column in heat.shaded:
        axes.fill_between(
            [column - 0.5, column + 0.5], row - 0.5, row + 0.5, hatch="////", fc="none", ec="#808080", lw=0
        )
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.01, aspect=30)
    bar.set_label(heat.unit, fontsize=8, parse_math=False)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(heat.title, fontsize=9, parse_math=False)
    if heat.note:
        axes.set_xlabel(heat.note, fontsize=7, parse_math=False, wrap=True)
    return save_figure(figure, path)


def shown_token(token: str, longest: int = LONGEST) -> str:
    r"""A token as a label: its space as ␣, its control characters written out; cut if long.

    >>> shown_token(" the"), shown_token("\n"), shown_token("")
    ('␣the', '\\n', '""')
    """
    word = "".join(c if c.isprintable() else repr(c)[1:-1] for c in token.replace(" ", "␣")) or '""'
    return word if len(word) <= longest else f"{word[: longest - 1]}…"


def _numbers(heat: HeatMap) -> Float64[np.ndarray, "row column"]:
    if not heat.rows or not heat.columns:
        raise RunError("there is nothing to draw: the heat map has no cell")
    return np.array([[math.nan if x is None else x for x in row] for row in heat.values], dtype=np.float64)


def _size(heat: HeatMap) -> tuple[float, float]:
    longest = max((len(shown_token(text)) for row in heat.texts for text in row), default=0)
    size = (
        MARGINS[0] + len(heat.columns) * max(LEAST_WIDTH, LETTER * longest),
        MARGINS[1] + len(heat.rows) * CELL_HEIGHT,
    )
    if max(size) > LARGEST:
        raise RunError(
            f"a heat map of {len(heat.rows)} x {len(heat.columns)} cells is too large to draw; take fewer positions"
        )
    return max(5.0, size[0]), size[1]


def _ends(values: Float64[np.ndarray, "row column"], both_ways: bool) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    largest = float(np.abs(finite).max()) if finite.size else 1.0
    largest = largest or 1.0
    return (-largest, largest) if both_ways else (min(0.0, float(finite.min())) if finite.size else 0.0, largest)


def _write_texts(axes: Any, heat: HeatMap, image: Any, values: Float64[np.ndarray, "row column"]) -> None:
    for row, words in enumerate(heat.texts):
        for column, word in enumerate(words):
            red, green, blue, _ = image.cmap(image.norm(np.nan_to_num(values[row, column])))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.55
            text = shown_token(word)
            axes.text(
                column, row, text, ha="center", va="center", fontsize=6, parse_math=False, color="w" if dark else "k"
            )
