"""`acdc report`: a run's page, made again from its files."""

from pathlib import Path
from typing import Annotated

import typer

from acdc.cli.app import app
from acdc.cli.terminal import Debug, say, show_warnings

__all__ = ["report"]


@app.command()
def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run's folder, a folder with runs in it: the newest, or a circuit's file."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The file. [default: report.html in the run's folder, or beside the circuit's file]"),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a run's page, report.html: one file that shows it all in a browser, without a network.

    It holds what the run's folder holds: the circuit as an interactive graph, its numbers and prompts and, where they
    are there, what `acdc evaluate` and `acdc explain` found.
    """
    from acdc.runs.catalog import find_run
    from acdc.runs.page import page_of_file, page_of_run

    show_warnings()
    say(str(page_of_file(run, out) if run.is_file() else page_of_run(find_run(run), out)))
