"""The program `acdc`: its commands are registered by the modules beside this one."""

from contextvars import ContextVar
from typing import Annotated

import typer

from acdc.ranks import ALONE, Ranks
from acdc.version import __version__

__all__ = ["RANKS", "app"]

RANKS: ContextVar[Ranks] = ContextVar("ranks", default=ALONE)  # the processes that share the command's work

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Automated circuit discovery in Hugging Face causal language models.",
)


def _print_version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(f"acdc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool | None, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = None,
) -> None:
    pass
