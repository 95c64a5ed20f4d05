"""Where runs are kept: `<out>/<task>/<model>/<method>/<run id>/`, and which of them are unfinished."""

import logging
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from acdc.errors import RunError
from acdc.journal import FileJournal

__all__ = ["JOURNAL", "RECORD", "Workspace", "check_writable", "discard", "open_workspace", "runs_folder"]

logger = logging.getLogger(__name__)

JOURNAL, RECORD = "journal.jsonl", "run.json"  # the record is written last: a run that has one is finished
LONGEST_NAME = 80


class Workspace(NamedTuple):
    """An unfinished run's folder, and its open journal."""

    path: Path
    journal: FileJournal


def runs_folder(out: str | Path, task: str, model: str, method: str) -> Path:
    """The folder of all runs of this task, model and method. No name leads out of `out`.

    >>> runs_folder("outputs", "ioi", "EleutherAI/pythia-160m", "acdc").as_posix()
    'outputs/ioi/EleutherAI--pythia-160m/acdc'
    """
    local = Path(model).expanduser()
    name = local.resolve().name if local.is_dir() or local.is_absolute() else model.replace("/", "--")
    return Path(out).expanduser().joinpath(*(_safe(part) for part in (task, name, method)))


def check_writable(folder: Path) -> None:
    """Raise `RunError` unless `folder` exists or can be made, and files can be written in it."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise RunError(f"can't write runs to {folder}: {place} is a file; choose another folder (out, --out)")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise RunError(
            f"can't write runs to {folder}: {place} refuses ({error.strerror or error}); "
            "choose another folder (out, --out)"
        ) from None


def open_workspace(runs: Path, fingerprint: str, *, resume: bool) -> Workspace:
    """The newest unfinished run of this fingerprint if there is one and `resume`, else a new run.

    Raises:
        RunError: The folder can't be made.
    """
    unfinished = _unfinished(runs, fingerprint) if resume else None
    if unfinished is not None:
        logger.info("continuing the unfinished run %s", unfinished.path)
        return unfinished
    try:
        folder = _new_folder(runs, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{fingerprint[:8]}")
    except OSError as error:
        raise RunError(f"can't make a folder in {runs}: {error.strerror or error}") from None
    return Workspace(folder, FileJournal(folder / JOURNAL, fingerprint))


def discard(workspace: Workspace) -> None:
    """Remove a run that came to nothing."""
    workspace.journal.discard()
    if not any(workspace.path.iterdir()):
        workspace.path.rmdir()


def _unfinished(runs: Path, fingerprint: str) -> Workspace | None:
    for path in sorted(runs.glob(f"*/{JOURNAL}"), reverse=True):
        if (path.parent / RECORD).exists() or fingerprint[:8] not in path.parent.name:
            continue
        try:
            return Workspace(path.parent, FileJournal(path, fingerprint))
        except (RunError, BlockingIOError):  # of other arguments, or another process is at it
            continue
    return None


def _new_folder(runs: Path, run_id: str) -> Path:
    runs.mkdir(parents=True, exist_ok=True)
    attempt = 1
    while True:
        folder = runs / (run_id if attempt == 1 else f"{run_id}-{attempt}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:  # another process started the same run in the same second
            attempt += 1


def _safe(name: str) -> str:
    """The name as one path component: letters, digits, dot, dash and underscore."""
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:LONGEST_NAME]
    return os.fsdecode(os.fsencode(safe)[:200]) or "unnamed"
