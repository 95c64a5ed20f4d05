"""Figures of an evaluation: faithfulness against size, and the specification curve."""

import io
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acdc.errors import RunError
from acdc.evaluation.specification import CHOICES
from acdc.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "check_ending", "draw_curve", "draw_specification", "new_figure", "save_figure"]

FORMATS = ("svg", "png", "pdf")
BLUE, ORANGE, GREY, DARK = "#2563a8", "#d97706", "#9aa3ad", "#1f2937"


def draw_curve(
    frame: "pd.DataFrame",
    path: str | os.PathLike[str],
    *,
    metric: str,
    circuit: Mapping[str, Any] | None = None,
    title: str = "",
) -> Path:
    """Faithfulness, and the metric with its spread over the prompts, against the number of edges.

    Args:
        frame: Rows of `Curve.to_frame`, of one or both rankings.
        metric: Which one to show.
        circuit: The found circuit, as a mark: `n_edges`, `faithfulness` and `value`.

    Raises:
        RunError: The path's ending is not one of `FORMATS`.
    """
    figure = new_figure(path, (10.5, 4.2))
    left, right = figure.subplots(1, 2)
    for ranking, colour, style in (("signed", BLUE, "o-"), ("absolute", ORANGE, "s:")):
        rows = frame[frame["ranking"] == ranking].sort_values("n_edges", kind="stable")
        if rows.empty:
            continue
        label = {"signed": "best edges by score", "absolute": "best edges by |score|"}[ranking]
        left.plot(rows["n_edges"], _column(rows, f"{metric}_faithfulness"), style, ms=3, color=colour, label=label)
        if f"{metric}_faithfulness_low" in rows:  # where scores tie: the range over orders among equals
            ends = (_column(rows, f"{metric}_faithfulness_{end}") for end in ("low", "high"))
            left.vlines(rows["n_edges"], *ends, color=colour, lw=1)
        if f"{metric}_complement_faithfulness" in rows and rows[f"{metric}_complement_faithfulness"].notna().any():
            values = _column(rows, f"{metric}_complement_faithfulness")
            left.plot(rows["n_edges"], values, "o--", ms=3, color=GREY, label="all other edges")
    rows = frame[frame["ranking"] == frame["ranking"].iloc[0]].sort_values("n_edges", kind="stable")
    for low, high, alpha in (("q05", "q95", 0.15), ("q25", "q75", 0.3)):
        bounds = [_column(rows, f"{metric}_{q}") for q in (low, high)]
        label = f"{low[1:].lstrip('0')} to {high[1:]}% of the prompts"
        right.fill_between(rows["n_edges"], *bounds, alpha=alpha, color=BLUE, lw=0, label=label)
    right.plot(rows["n_edges"], _column(rows, metric), "o-", ms=3, color=BLUE, label="mean")
    if circuit is not None:
        for axes, key in ((left, "faithfulness"), (right, "value")):
            axes.plot(circuit["n_edges"], circuit[key], "*", ms=13, color=DARK, label="the circuit", zorder=5)
    for level in (0, 1):
        left.axhline(level, color=GREY, lw=0.8, zorder=0)
    left.set_ylabel(f"faithfulness by {metric} (1: model, 0: no edge)", parse_math=False)
    right.set_ylabel(metric, parse_math=False)
    for axes in (left, right):
        axes.set_xscale("symlog", linthresh=1, linscale=0.3)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(left=0)
        axes.set_xlabel("edges, after pruning")
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    _tall(left, [value for line in left.lines for value in np.asarray(line.get_ydata(), float)])
    figure.suptitle(title, fontsize=11, parse_math=False)
    return save_figure(figure, path)


def draw_specification(
    frame: "pd.DataFrame",
    path: str | os.PathLike[str],
    *,
    own: Mapping[str, str] | None = None,
    title: str = "",
) -> Path:
    """The specification curve: above, every measured faithfulness in order; below, the choices that gave it.

    Args:
        frame: Rows of `Specifications.to_frame`.
        own: The choices that the circuit was found with, as a mark.

    Raises:
        RunError: The path's ending is not one of `FORMATS`.
    """
    rows = frame[frame["faithfulness"].notna()].sort_values("faithfulness", kind="stable").reset_index(drop=True)
    choices = [(choice, value) for choice in CHOICES for value in dict.fromkeys(frame[choice])]
    figure = new_figure(path, (10.5, 3.6 + 0.19 * len(choices)))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, 0.19 * len(choices)])
    x = np.arange(len(rows))
    values = _column(rows, "faithfulness")
    mine = np.ones(len(rows), bool) if own else np.zeros(len(rows), bool)
    for choice, value in (own or {}).items():
        mine &= (rows[choice] == value).to_numpy()
    low, high = _column(rows, "low"), _column(rows, "high")
    above.vlines(x, low, high, color=GREY, lw=1)
    above.plot(x[~mine], values[~mine], "o", ms=2.5, color=BLUE)
    above.plot(x[mine], values[mine], "*", ms=12, color=ORANGE, label="the choices it was found with", zorder=5)
    for level in (0, 1):
        above.axhline(level, color=GREY, lw=0.8, zorder=0)
    above.set_ylabel("faithfulness")
    _tall(above, values.tolist())
    if mine.any():
        above.legend(frameon=False, fontsize=8, loc="upper left")
    for y, (choice, value) in enumerate(choices):
        chosen = (rows[choice] == value).to_numpy()
        below.plot(x[chosen], np.full(chosen.sum(), y), "|", ms=6, color=BLUE)
        below.plot(x[chosen & mine], np.full((chosen & mine).sum(), y), "|", ms=7, mew=2, color=ORANGE)
    below.set_yticks(range(len(choices)), [f"{choice}: {value}" for choice, value in choices], fontsize=7)
    below.invert_yaxis()
    below.set_xlabel(f"{len(rows)} ways to measure one circuit, in order of what they say")
    for edge in np.flatnonzero([a[0] != b[0] for a, b in itertools.pairwise(choices)]):
        below.axhline(edge + 0.5, color=GREY, lw=0.5)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11, parse_math=False)
    return save_figure(figure, path)


def _column(frame: "pd.DataFrame", name: str) -> Any:
    return frame[name].astype(float).to_numpy()


def _tall(axes: Any, values: list[float]) -> None:
    """A scale on which 0 to 1 stays readable, however far off some values are."""
    finite = [value for value in values if np.isfinite(value)]
    if finite and (min(finite) < -2 or max(finite) > 3):
        axes.set_yscale("symlog", linthresh=2)


def new_figure(path: str | os.PathLike[str], size: tuple[float, float]) -> Any:
    """A figure of so many inches without pyplot, so that nothing of the caller's changes.

    Raises:
        RunError: The path's ending is not one of `FORMATS`.
    """
    check_ending(path)
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def check_ending(path: str | os.PathLike[str]) -> None:
    """Raise `RunError` unless the path's ending is one of `FORMATS`."""
    if (ending := Path(path).suffix.lstrip(".").lower()) not in FORMATS:
        raise RunError(f"can't draw {Path(path).name}: the ending must be one of {', '.join(FORMATS)}, not {ending!r}")


def save_figure(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write it atomically; equal figures give equal files."""
    from matplotlib import rc_context

    kind, buffer = Path(path).suffix.lstrip(".").lower(), io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with rc_context({"svg.hashsalt": "acdc", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return write_atomically(path, buffer.getvalue())
