"""The user's mistakes: each message says what was wrong, what was expected and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ACDCError",
    "CircuitError",
    "FileError",
    "ModelError",
    "RunError",
    "TaskError",
    "UnknownNameError",
    "printable",
    "unknown_name",
]


class ACDCError(Exception):
    """Base of every error that the user can mend; the command line prints it without a traceback."""


class TaskError(ACDCError):
    """A task or its prompts can't be used as they are."""


class ModelError(ACDCError):
    """A model can't be loaded or read as a computational graph."""


class CircuitError(ACDCError):
    """A circuit, mask or circuit file doesn't fit."""


class FileError(ACDCError):
    """A file can't be read or written, or doesn't hold what it should."""


class RunError(ACDCError):
    """An option or a place of a run can't be used."""


class UnknownNameError(ACDCError):
    """A name that no registry holds."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name not among the known ones, with the nearest match.

    >>> str(unknown_name("metric", "logitdiff", ["kl", "logit_diff"]))
    "unknown metric 'logitdiff': did you mean 'logit_diff'? (known: kl, logit_diff)"
    """
    known = list(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else "."
    return UnknownNameError(f"unknown {kind} {name!r}{hint} (known: {', '.join(known) or 'none'})")


def printable(text: str, longest: int = 300) -> str:
    """The text in one line without control characters, so that a name can't move a terminal's cursor; cut if longer.

    >>> printable("a\x1b[31m\nb")
    'a [31m b'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
