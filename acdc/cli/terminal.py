"""What the commands share: options, tables, and quiet libraries."""

import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar, runtime_checkable

import typer

from acdc.errors import RunError, printable
from acdc.options.words import guessed

__all__ = [
    "Bos",
    "Debug",
    "Device",
    "DeviceMap",
    "Dtype",
    "Json",
    "Memory",
    "Offload",
    "Quiet",
    "Revision",
    "TaskOption",
    "TrustRemoteCode",
    "aligned",
    "dump",
    "hush",
    "options_of_task",
    "pairs",
    "placing",
    "plain",
    "say",
    "show_warnings",
    "table",
    "tell_found",
    "warn",
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no summary.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
TaskOption = Annotated[
    list[str] | None, typer.Option("--task-option", metavar="KEY=VALUE", help="An option of the task.")
]
Bos = Annotated[
    bool | None,
    typer.Option("--bos/--no-bos", help="Start prompts with a BOS token. [default: as the tokenizer does]"),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(help="Spread the model by accelerate (auto), or load it straight to a device, instead of --device."),
]
Offload = Annotated[
    bool, typer.Option("--offload", help="Keep the blocks on the CPU or the disk, and read one at a time.")
]
Dtype = Annotated[str, typer.Option(help="float32, float64, bfloat16 or float16.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="How much a step may take beside model and activations, like 500MB or 2GiB."),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Let code that comes with the model run.")]


LONGEST_NAME = 40  # letters, in a table


def table(headers: list[str], rows: list[list[str]]) -> None:
    """A plain table; what users named is printed as it is, never read as markup. Names, in the first column, are not
    cut, so that they can be given again."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.columns[0].min_width = min(LONGEST_NAME, max((len(row[0]) for row in rows), default=0))
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty()).print(table)


def aligned(rows: Sequence[Sequence[str]]) -> None:
    """Rows in columns as wide as they need; nothing is cut or wrapped, so that what is named can be given again."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def plain(text: str) -> str:
    """Lines of text without other control characters, so that no name can move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def say(text: str) -> None:
    """Print lines of text on standard output, whatever names are in it."""
    typer.echo(plain(text))


def warn(text: str) -> None:
    """Print a warning on standard error."""
    typer.echo(f"acdc: warning: {plain(text)}", err=True)


def dump(value: Any) -> None:
    typer.echo(json.dumps(value, default=str))


def pairs(words: list[str] | None, option: str) -> dict[str, str]:
    """`KEY=VALUE` words as a dictionary of text.

    Raises:
        RunError: A word isn't of this form, or a key comes twice.
    """
    found: dict[str, str] = {}
    for word in words or []:
        key, equals, value = word.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise RunError(f"{option} takes KEY=VALUE, like {option} corruption=abc, not {printable(word, 60)!r}")
        if key in found:
            raise RunError(f"{option} {printable(key, 60)} is given twice")
        found[key] = value.strip()
    return found


def options_of_task(words: list[str] | None) -> dict[str, Any]:
    """What `--task-option` gives: each value as the number, truth value or text that it looks like.

    Raises:
        RunError: A word isn't KEY=VALUE, or a key comes twice.
    """
    return {key: guessed(value) for key, value in pairs(words, "--task-option").items()}


def placing(device_map: str | None, offload: bool) -> str | None:
    """The device map that is meant.

    Raises:
        RunError: Both are given.
    """
    if offload and device_map is not None:
        raise RunError("--offload is a device map of its own; give it or --device-map, not both")
    return "offload" if offload else device_map


@runtime_checkable
class Kept(Protocol):
    """What a command found, and the files that hold it."""

    @property
    def files(self) -> Sequence[Path]: ...

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        ...


Found = TypeVar("Found", bound=Kept)


def tell_found(found: Found, tell: Callable[[Found], None], as_json: bool, quiet: bool) -> None:
    """What a command ends with: the tables that `tell` prints, unless quiet, and the files' names; or all as JSON."""
    if as_json:
        dump(found.to_dict() | {"files": [str(path) for path in found.files]})
        return
    if not quiet:
        tell(found)
    for path in found.files:
        say(f"  {path}")


def hush() -> None:
    """Keep the libraries' own bars and notes off the terminal; our warnings stay."""
    from huggingface_hub.utils import disable_progress_bars
    from transformers.utils import logging as theirs

    disable_progress_bars()
    theirs.disable_progress_bar()
    theirs.set_verbosity_error()
    show_warnings()


class _Plain(logging.Formatter):
    """Messages without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def show_warnings() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("acdc: %(message)s"))
    logging.getLogger("acdc").handlers = [handler]
