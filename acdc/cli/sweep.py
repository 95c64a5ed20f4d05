"""`acdc sweep`: many runs from one grid."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.terminal import Debug, Json, Quiet, aligned, dump, hush, say, warn
from acdc.errors import RunError, counted
from acdc.files import plain
from acdc.options.defaults import OUT
from acdc.progress import roughly

if TYPE_CHECKING:
    import pandas as pd

    from acdc.runs.sweeps.forecast import CellForecast
    from acdc.runs.sweeps.sweep import Sweep

__all__ = ["sweep"]

TRIAL = 10.0  # seconds
HEADS = ("edges", "faithfulness", "held out", "accuracy", "seconds")  # of `acdc.runs.sweeps.results.SPREAD`


@app.command()
def sweep(
    grid: Annotated[Path, typer.Argument(metavar="GRID", help="A TOML file: see docs/sweep.md.")],
    out: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path(OUT),
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="How many runs at a time.")] = 1,
    cluster: Annotated[
        str | None, typer.Option(help="Run as jobs, through submitit: slurm, or local for a trial of one.")
    ] = None,
    print_commands: Annotated[
        bool, typer.Option("--print", help="Run nothing: write the commands of the cells without a finished run.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run nothing: show the cells, and about how long each takes.")
    ] = False,
    trial: Annotated[
        float,
        typer.Option(help="Seconds for which --dry-run tries a cell unless there is a run like it; 0 loads nothing."),
    ] = TRIAL,
    gather: Annotated[
        bool, typer.Option("--gather", help="Run nothing: make table and pictures of the runs that are there.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run every cell of GRID that has no finished run yet, each as `acdc discover` in a process of its own.

    A cell that fails doesn't stop the others. A sweep that was stopped goes on when the same command is given again.
    The grid is checked whole before any run starts.
    """
    if sum((print_commands, dry_run, gather)) > 1:
        raise RunError("give one of --print, --dry-run and --gather")
    hush()
    from acdc.progress.bars import shown
    from acdc.runs.sweeps.sweep import Sweep

    opened = Sweep.open(grid, out=out)
    if print_commands:
        for cell in opened.missing:
            say(cell.command)
        return
    with shown(not (quiet or as_json)) as tell:
        if dry_run:
            found = opened.forecast(trial=trial, tell=tell)
        elif not gather:
            opened = opened.run(jobs=jobs, cluster=cluster, tell=tell)
    if dry_run:
        _tell_forecast(opened, found, jobs, as_json)
        return
    files = opened.save()
    _tell(opened, files, as_json, quiet)
    if opened.failed:
        raise typer.Exit(1)


def _tell_forecast(sweep: "Sweep", found: "list[CellForecast]", jobs: int, as_json: bool) -> None:
    """The cells, and about how long each will take."""
    from acdc.runs.sweeps.forecast import total_seconds
    from acdc.runs.sweeps.results import varied

    frame = sweep.frame()
    columns = [*varied(frame), *(["seed"] if frame["seed"].nunique() > 1 else [])]
    if as_json:
        cells = frame[["task", "model", *columns, "state", "path"]].to_dict("records")
        dump([_plain({**cell, **asdict(each)}) for cell, each in zip(cells, found, strict=True)])
        return
    cells = frame[columns].itertuples(index=False)
    rows = [[*map(_shown, cell), _time(each), each.basis] for cell, each in zip(cells, found, strict=True)]
    say(_title(frame, columns))
    aligned([[*map(_head, columns), "time", "by"], *rows])
    seconds, longer = total_seconds(found, jobs)
    time = f", {counted(jobs, 'job')}: {'more than' if longer else 'about'} {roughly(seconds)}" if sweep.missing else ""
    say(f"{counted(len(sweep.missing), 'cell')} to run{time}")


def _time(cell: "CellForecast") -> str:
    if cell.seconds is None:
        return "?"
    if not cell.seconds:
        return "-"
    return f"{'over ' if cell.at_least else ''}{roughly(cell.seconds)}"


def _tell(sweep: "Sweep", files: list[Path], as_json: bool, quiet: bool) -> None:
    """What the runs say, those that differ in seed alone together; what has failed, and why."""
    frame = sweep.frame()
    if as_json:
        dump([_plain(row) for row in frame.to_dict("records")])
    elif not quiet:
        _tell_means(frame)
    for name, failure in sweep.failed.items():
        warn(f"{name} failed: {failure.message} ({failure.log})")
    if not (as_json or quiet):
        for path in files:
            say(f"  {path}")


def _tell_means(frame: "pd.DataFrame") -> None:
    from acdc.runs.sweeps.results import SPREAD, summarised, varied

    keys = varied(frame)
    rows = [
        [*(_shown(row[key]) for key in keys), f"{row['runs']} of {row['cells']}"]
        + [_spread(row[name], row[f"{name}_sd"]) for name in SPREAD]
        for row in summarised(frame).to_dict("records")
    ]
    say(_title(frame, keys))
    aligned([[*map(_head, keys), "runs", *HEADS], *rows])
    say("means over seeds, ± their standard deviation; seconds are those of the search")
    if "metric" in keys:
        say("faithfulness is by each run's own metric; with metric = ... under [defaults] all have the same")


def _title(frame: "pd.DataFrame", columns: list[str]) -> str:
    """What all cells have in common."""
    names = ("task", "model", "metric", "ablation", "n")
    told = [f"{name} {frame[name].iloc[0]}" for name in names if name not in columns]
    return f"{counted(len(frame), 'cell')}: {', '.join(told)}"


def _head(column: str) -> str:
    return column.removeprefix("task_").removeprefix("options.")


def _spread(mean: float, deviation: float) -> str:
    if mean != mean:
        return "-"
    return _number(mean) if deviation != deviation else f"{_number(mean)} ± {_number(deviation)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _shown(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for JSON: None for what isn't there, Python's numbers for NumPy's."""
    return {name: plain(value.item() if hasattr(value, "item") else value) for name, value in row.items()}
