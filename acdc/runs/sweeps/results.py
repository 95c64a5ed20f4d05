"""What a sweep's runs say: a row for each cell, and the means over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from acdc.errors import ACDCError
from acdc.files import write_csv
from acdc.runs.folders import METRICS, RECORD
from acdc.runs.result import read_metrics, read_record
from acdc.runs.sweeps.cells import PlannedCell
from acdc.runs.sweeps.commands import Failure

__all__ = ["ARGUMENTS", "MEASURED", "results", "summarised", "varied", "write_results"]

ARGUMENTS = (
    "task",
    "model",
    "method",
    "metric",
    "ablation",
    "direction",
    "positions",
    "n",
    "seed",
    "bos",
    "dtype",
    "device",
    "revision",
)
MEASURED = {  # column: its path in metrics.json or run.json
    "n_edges": (METRICS, "n_edges"),
    "n_edges_of_model": (METRICS, "n_edges_of_model"),
    "n_nodes": (METRICS, "n_nodes"),
    "kl": (METRICS, "kl", "circuit"),
    "faithfulness": (METRICS, "faithfulness"),
    "accuracy": (METRICS, "accuracy", "circuit"),
    "held_out_kl": (METRICS, "held_out", "kl", "circuit"),
    "held_out_faithfulness": (METRICS, "held_out", "faithfulness"),
    "held_out_accuracy": (METRICS, "held_out", "accuracy", "circuit"),
    "search_seconds": (RECORD, "seconds", "search"),
    "seconds": (RECORD, "seconds", "total"),
    "forward_passes": (RECORD, "cost", "forward_passes"),
    "backward_passes": (RECORD, "cost", "backward_passes"),
    "no_meaning": (METRICS, "no_meaning"),
    "acdc": (RECORD, "versions", "acdc"),
    "torch": (RECORD, "versions", "torch"),
}
TEXTS = ("no_meaning", "acdc", "torch")
SPREAD = ("n_edges", "faithfulness", "held_out_faithfulness", "accuracy", "search_seconds")


def results(cells: Sequence[PlannedCell], failed: Mapping[str, Failure]) -> pd.DataFrame:
    """A row for each cell, in the grid's order.

    Returns:
        Its arguments, with defaults; `options.NAME` and `task_options.NAME` for those that the grid gives; `state`:
        finished, failed or missing; what was measured (`MEASURED`; NaN where there is no run); `path` of the run;
        `error`.
    """
    frame = pd.DataFrame([_row(cell, failed.get(cell.name)) for cell in cells], dtype=object)
    given = [column for column in frame if column.startswith(("options.", "task_options."))]
    rest = ["state", *MEASURED, "path", "error"]
    frame = frame.reindex(columns=[*ARGUMENTS, *given, *rest])
    numbers = dict.fromkeys((name for name in MEASURED if name not in TEXTS), float)
    return frame.astype({"n": int, "seed": int, **numbers})


def _row(cell: PlannedCell, failure: Failure | None) -> dict[str, Any]:
    asked, arguments = cell.arguments, cell.arguments.to_json()  # which leaves out positions that split nothing
    known = arguments | {"task": asked.task.name, "model": asked.model.name, "positions": asked.positions}
    row = {name: known[name] for name in ARGUMENTS}
    row |= {f"options.{name}": arguments["options"][name] for name in _named(cell)}
    row |= {f"task_options.{name}": value for name, value in cell.cell.task_options.items()}
    if cell.run is None:
        state = "missing" if failure is None else "failed"
        return row | {"state": state, "error": None if failure is None else failure.message}
    try:
        files = {METRICS: read_metrics(cell.run), RECORD: read_record(cell.run)}
    except ACDCError as error:
        return row | {"state": "failed", "path": str(cell.run), "error": str(error)}
    measured = {column: _at(files, path) for column, path in MEASURED.items()}
    return row | {"state": "finished", **measured, "path": str(cell.run)}


def _named(cell: PlannedCell) -> list[str]:
    """The names of the options that the grid gives this cell, as the method has them now."""
    return [name for name in cell.arguments.options if name in cell.cell.options]


def _at(files: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = files
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def varied(frame: pd.DataFrame) -> list[str]:
    """The arguments by which the cells of a sweep differ, besides the seed; the method always."""
    columns = [c for c in frame if c in ARGUMENTS or c.startswith(("options.", "task_options."))]
    return [c for c in columns if c == "method" or (c != "seed" and frame[c].nunique(dropna=False) > 1)]


def summarised(frame: pd.DataFrame) -> pd.DataFrame:
    """The finished runs that differ in nothing but the seed, together.

    Returns:
        The varied arguments; `runs` (finished), `cells`; for each of `SPREAD` the mean, and `NAME_sd`, the standard
        deviation over runs (NaN for one).
    """
    keys = varied(frame)
    grouped = frame.groupby(keys, sort=False, dropna=False)
    means = grouped[list(SPREAD)].agg(["mean", "std"]).astype(float)
    means.columns = [name if what == "mean" else f"{name}_sd" for name, what in means.columns]
    counts = grouped["state"].agg(runs=lambda states: (states == "finished").sum(), cells="size")
    return counts.join(means).reset_index()


def write_results(frame: pd.DataFrame, folder: Path) -> Path:
    """Write the rows as `sweep.csv` into a folder."""
    return write_csv(folder / "sweep.csv", frame)
