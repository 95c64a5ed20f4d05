"""Running code that users wrote: whatever it does ends in an error that names the line of theirs that did it."""

import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from acdc.errors import ACDCError, EndRequested, TaskError, printable

__all__ = ["file_of", "users_code"]

LIBRARIES = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")), str(Path(__file__).parents[1]))


def file_of(kind: type) -> str | None:
    """The file in which a class is written; None of one made in an interactive session."""
    try:
        return inspect.getfile(kind)
    except (OSError, TypeError):
        return None


@contextmanager
def users_code(what: str, file: str | None = None) -> Iterator[None]:
    """Run the body, which calls code that a user wrote.

    What it prints goes to standard error, since a program may read standard output. A stop by Ctrl-C or by a
    request to end passes.

    Args:
        what: What it is, as the message is to begin: "the task file 'mine.py' failed".
        file: Where the code is; of the frames in which an error arose the last one of this file is blamed.

    Raises:
        TaskError: It raised an error that isn't ours, or wanted to end the program.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (ACDCError, EndRequested, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise TaskError(f"{what}: it calls sys.exit({error.code!r}){_place(error, file)}") from error
    except BaseException as error:  # also what a task makes of its own, beside Exception
        words = f"{type(error).__name__}: {printable(_words(error))}"
        raise TaskError(f"{what}: {words}{_place(error, file)}") from error


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # its own text may be broken too
        return "an error without words"


def _place(error: BaseException, file: str | None) -> str:
    """Where it arose: in the user's file, else in no library; what fails as we call it has the file alone."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first one is this file's
    own = [frame for frame in frames if file is not None and os.path.abspath(frame.filename) == os.path.abspath(file)]
    others = [frame for frame in frames if not _is_of_a_library(frame.filename)]
    if not (own or others):
        return "" if file is None else f" ({file})"
    frame = (own or others)[-1]
    return f" ({frame.filename}, line {frame.lineno})"


def _is_of_a_library(file: str) -> bool:
    """Whether it is installed, here or below an environment that this one shares, or not a file at all."""
    return file.startswith((*LIBRARIES, "<")) or bool({"site-packages", "dist-packages"} & set(Path(file).parts))
