"""The curve along which a circuit was chosen: the share of the metric that circuits of a ranking's best edges keep."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acdc.evaluation.figures import new_figure, save_figure

__all__ = ["draw_selection"]

BLUE, GREY, DARK = "#2563a8", "#9aa3ad", "#1f2937"


def draw_selection(
    points: Sequence[Mapping[str, float | int | None]],
    path: str | os.PathLike[str],
    *,
    n_edges: int,
    wanted: float | None = None,
    title: str = "",
) -> Path:
    """Faithfulness against the number of edges, as it was measured while a circuit was chosen.

    Args:
        points: What was measured: `n_edges` and `faithfulness`, None where that is no finite number, by rising size.
        n_edges: The chosen circuit's, which is marked.
        wanted: The share that it had to keep.

    Raises:
        RunError: The path's ending is not that of a known format.
    """
    figure = new_figure(path, (6.0, 4.0))
    axes = figure.subplots()
    measured = [(point["n_edges"], point["faithfulness"]) for point in points if point["faithfulness"] is not None]
    axes.plot(*zip(*measured, strict=True), "o-", ms=4, color=BLUE, label="circuits of the best edges")
    axes.plot(*_chosen(measured, n_edges), "*", ms=13, color=DARK, label=f"chosen: {n_edges:,} edges", zorder=5)
    if wanted is not None:
        axes.axhline(wanted, color=DARK, lw=0.8, ls="--", label=f"wanted: {wanted:g}", zorder=0)
    for level in (0, 1):
        axes.axhline(level, color=GREY, lw=0.8, zorder=0)
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlim(left=0)
    axes.set_xlabel("edges, after pruning")
    axes.set_ylabel("faithfulness (1: model, 0: no edge)")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=9, parse_math=False, wrap=True)
    return save_figure(figure, path)


def _chosen(measured: Sequence[tuple[Any, Any]], n_edges: int) -> tuple[list[Any], list[Any]]:
    """The chosen circuit's point; none where it isn't on the curve."""
    found = [point for point in measured if point[0] == n_edges]
    return [x for x, _ in found], [y for _, y in found]
