"""The program `acdc`: its commands are registered by the modules beside this one."""

from typing import TYPE_CHECKING, Annotated

import typer

from acdc.version import __version__

__all__ = ["Context", "app"]

if TYPE_CHECKING:
    Context = typer.Context
else:
    Context = typer.Context.__base__  # what Typer really hands over, which the tests' type checks see

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
