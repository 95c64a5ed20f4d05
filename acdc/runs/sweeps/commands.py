"""A cell's command in a process of its own: how it is called, where what it says goes, and what became of it."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acdc.errors import printable

__all__ = ["Failure", "failure_of", "full_command"]

LAST_BYTES = 20_000  # of a log, in which the message is looked for
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Failure:
    """Why a cell has no run: the command's own message, and the file of all that it said."""

    message: str
    log: Path


def full_command(words: Sequence[str]) -> list[str]:
    """The command with this interpreter, so that it is this version which runs."""
    return [sys.executable, "-m", "acdc", *words]


def environment(given: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment for a process that may use so many threads."""
    return {**given, **dict.fromkeys(THREADS, str(threads))}


def failure_of(code: int, log: Path) -> Failure | None:
    """What a command that ended with this code failed by; None where it didn't."""
    if code == 0:
        return None
    if code < 0:
        full = " (is the memory full? --jobs fewer)" if code == -9 else ""
        return Failure(f"it was ended by signal {-code}{full}", log)
    return Failure(_last_line(log) or f"it ended with code {code} and said nothing", log)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_bytes()[-LAST_BYTES:].decode(errors="replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return printable(said[-1].removeprefix("acdc: "), 500) if said else ""
