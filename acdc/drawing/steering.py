"""Dose against effect: what each strength of a direction does to the metric, and to neutral text."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acdc.evaluation.figures import new_figure, save_figure
from acdc.interpret.explanation import Steering

__all__ = ["draw_steering"]

COLOURS = ("#1B5E9E", "#9aa3ad", "#A34700", "#0B7A53")
GREY = "#9aa3ad"
STRENGTH = "strength (broken line: taken out everywhere)"


def draw_steering(
    tables: Sequence[Steering], path: str | os.PathLike[str], title: str = "", *, axis: str = STRENGTH
) -> Path:
    """Draw directions' strengths against the metric with its 95% interval, and against the divergence on neutral text.

    A broken line stands at what is measured in the row whose strength is None.

    Args:
        axis: What strengths are, and what the row without one is.

    Raises:
        RunError: The path's ending is not `.svg`, `.png` or `.pdf`.
    """
    has_neutral = any(kl is not None for table in tables for kl in table.neutral_kl)
    figure = new_figure(path, (9.6, 4.4) if has_neutral else (5.2, 4.4))
    panels = list(figure.subplots(1, 1 + has_neutral, squeeze=False)[0])
    for colour, table in zip(COLOURS, tables, strict=False):
        _drawn(panels, table, colour)
    panels[0].set_ylabel(f"{tables[0].metric_name or 'metric'} on held-out prompts", parse_math=False)
    panels[0].axhline(0, color=GREY, lw=0.8, zorder=0)
    if has_neutral:
        panels[1].set_ylabel("KL on neutral text, nats")
        panels[1].set_ylim(bottom=0)
    for axes in panels:
        axes.set_xlabel(axis)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", frameon=False, fontsize=8)
    figure.suptitle(title or tables[0].site, fontsize=10, parse_math=False)
    return save_figure(figure, path)


def _drawn(panels: Sequence[Any], table: Steering, colour: str) -> None:
    """One direction's lines."""
    rows = sorted(
        (dose, _bounds(found), kl)
        for dose, found, kl in zip(table.strengths, table.metric, table.neutral_kl, strict=True)
        if dose is not None
    )
    doses, found = [row[0] for row in rows], np.array([row[1] for row in rows], dtype=float)
    errors = np.abs(found[:, 1:] - found[:, :1]).T
    panels[0].errorbar(doses, found[:, 0], errors, fmt="o-", ms=4, capsize=3, color=colour, label=table.direction)
    for axes in panels[1:]:
        axes.plot(doses, np.array([row[2] for row in rows], dtype=float), "o-", ms=4, color=colour)
    out = [i for i, dose in enumerate(table.strengths) if dose is None]
    for axes, values in zip(panels, ([each.value for each in table.metric], table.neutral_kl), strict=False):
        for value in (values[i] for i in out):
            if value is not None:
                axes.axhline(value, color=colour, lw=1, ls="--")


def _bounds(found: Any) -> tuple[float | None, ...]:
    """Value, low and high; where nothing is known of others, the bounds are the value."""
    return tuple(found.value if bound is None else bound for bound in (found.value, found.low, found.high))
