"""The user's mistakes: each message says what was wrong, what was expected and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["ACDCError", "CircuitError", "ModelError", "RunError", "TaskError", "UnknownNameError", "unknown_name"]


class ACDCError(Exception):
    """Base of every error that the user can mend; the command line prints it without a traceback."""


class TaskError(ACDCError):
    """A task or its prompts can't be used as they are."""


class ModelError(ACDCError):
    """A model can't be loaded or read as a computational graph."""


class CircuitError(ACDCError):
    """A circuit, mask or circuit file doesn't fit."""


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
