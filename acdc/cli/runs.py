"""`acdc runs`: which runs there are."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acdc.cli.app import app
from acdc.cli.terminal import Debug, Json, aligned, dump, say, show_warnings
from acdc.errors import counted
from acdc.options.defaults import OUT

if TYPE_CHECKING:
    from acdc.runs.catalog import Listed

__all__ = ["runs"]

HEADS = ("task/model/method/run", "edges", "faithfulness", "accuracy", "")


@app.command()
def runs(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where runs are kept.")] = Path(OUT),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the runs below FOLDER, the newest first; unfinished and damaged ones too."""
    from acdc.runs.catalog import list_runs

    show_warnings()
    found = list_runs(out)
    if as_json:
        dump([asdict(each) for each in found])
        return
    if not found:
        say(f"there is no run in {str(out)!r}")
        return
    aligned([HEADS, *(_row(each, out) for each in found)])
    for each in found:
        if each.why is not None:
            say(f"  {each.why}")


def _row(run: "Listed", out: Path) -> tuple[str, ...]:
    """The folder tells task, model, method and when."""
    from acdc.evaluation.meaning import shown_ratio

    size = "" if run.n_edges is None else f"{run.n_edges:,} of {run.n_edges_of_model:,}"
    state = f"{run.state}, {counted(run.n_warnings, 'warning')}" if run.n_warnings else run.state
    ratio = "" if run.state != "finished" else shown_ratio(run.faithfulness, run.no_meaning, why=False)
    return str(run.path.relative_to(out.expanduser())), size, ratio, _number(run.accuracy), state


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
