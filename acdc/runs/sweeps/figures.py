"""Pictures of a sweep's results: faithfulness against size, and time, a colour for each method."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from acdc.evaluation.figures import new_figure, save_figure
from acdc.runs.sweeps.results import varied

__all__ = ["draw_faithfulness", "draw_time"]

GREY = "#9aa3ad"
WIDTH, HEIGHT, COLUMNS = 4.6, 3.6, 3  # inches of a panel, and panels in a row


def draw_faithfulness(frame: pd.DataFrame, path: Path) -> Path:
    """Each run's faithfulness (on held-out prompts where there are any) against its edges, a panel for each task and
    model.

    Where a method has runs with several values of its options, a line joins their means over the seeds. Runs that
    differ in what is measured (metric, ablation, direction...) are not joined.
    """
    runs = _finished(frame)
    runs["shown"] = runs["held_out_faithfulness"].fillna(runs["faithfulness"])
    figure, panels = _panels(runs, path)
    settings = [column for column in varied(frame) if column not in ("task", "model", "method")]
    for axes, rows in panels:
        for method, colour in _colours(runs).items():
            own = rows[(rows["method"] == method) & rows["shown"].notna()]
            if own.empty:
                continue
            label = method if runs["metric"].nunique() == 1 else f"{method}, by {own['metric'].iloc[0]}"
            axes.plot(own["n_edges"], own["shown"], "o", ms=4, alpha=0.7, color=colour, label=label)
            for means in _means(own, settings):
                axes.plot(means["n_edges"], means["shown"], "-", lw=1, color=colour)
        for level in (0, 1):
            axes.axhline(level, color=GREY, lw=0.8, zorder=0)
        axes.set_xscale("symlog", linthresh=1, linscale=0.3)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(0, 1.2 * rows["n_edges_of_model"].max())
        axes.set_xlabel("edges")
        axes.set_ylabel("faithfulness (1: model, 0: no edge)")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)


def draw_time(frame: pd.DataFrame, path: Path) -> Path:
    """The seconds of each run's search, by method, a panel for each task and model."""
    runs = _finished(frame)
    figure, panels = _panels(runs, path)
    colours = _colours(runs)
    for axes, rows in panels:
        for place, (method, colour) in enumerate(colours.items()):
            seconds = rows.loc[rows["method"] == method, "search_seconds"]
            axes.plot(seconds, [place] * len(seconds), "o", ms=4, alpha=0.7, color=colour)
        axes.set_yticks(range(len(colours)), list(colours))
        axes.set_ylim(len(colours) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.set_xlim(*_decades(runs["search_seconds"]))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("seconds of the search")
    return save_figure(figure, path)


def _means(own: pd.DataFrame, settings: list[str]) -> Iterator[pd.DataFrame]:
    """The means over seeds of runs that differ in options of the method alone, by size, where there are several."""
    options = [column for column in settings if column.startswith("options.")]
    others = [column for column in settings if column not in options]
    if not options:
        return
    for _, alike in own.groupby(others, dropna=False) if others else [((), own)]:
        means = alike.groupby(options, dropna=False)[["n_edges", "shown"]].mean()
        if len(means) > 1:
            yield means.sort_values("n_edges")


def _decades(seconds: pd.Series) -> tuple[float, float]:
    """The powers of ten around all of them, the same in every panel."""
    low, high = np.log10(seconds.clip(lower=1e-3).agg(["min", "max"]))
    return 10.0 ** np.floor(low), 10.0 ** (np.floor(high) + 1)


def _finished(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["state"] == "finished"].copy()


def _colours(runs: pd.DataFrame) -> dict[str, str]:
    """A colour for each method, in the order in which they come."""
    return {method: f"C{place % 10}" for place, method in enumerate(dict.fromkeys(runs["method"]))}


def _panels(runs: pd.DataFrame, path: Path) -> tuple[Any, Iterator[tuple[Any, pd.DataFrame]]]:
    """A figure, and its axes with the runs of each task and model."""
    groups = list(runs.groupby(["task", "model"], sort=False))
    columns = min(COLUMNS, len(groups))
    rows = -(-len(groups) // columns)
    figure = new_figure(path, (WIDTH * columns, HEIGHT * rows))
    return figure, _titled(figure.subplots(rows, columns, squeeze=False).flat, groups)


def _titled(axes: Any, groups: list[tuple[Any, pd.DataFrame]]) -> Iterator[tuple[Any, pd.DataFrame]]:
    for place, each in enumerate(axes):
        if place >= len(groups):
            each.set_visible(False)
            continue
        (task, model), rows = groups[place]
        each.set_title(f"{task}, {model}", fontsize=10, parse_math=False)
        each.spines[["top", "right"]].set_visible(False)
        yield each, rows
