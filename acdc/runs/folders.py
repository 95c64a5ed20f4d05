"""Where runs are kept: `<out>/<task>/<model>/<method>/<run id>/`, and which of them are unfinished."""

import logging
import os
import re
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from acdc.errors import ACDCError, FileError, RunError
from acdc.files import sweep
from acdc.ranks import Ranks
from acdc.runs.checkpoint import FileCheckpoint, clear_checkpoint
from acdc.runs.mirror import MirroredCheckpoint, mirrored

__all__ = [
    "CHECKPOINT",
    "EVALUATION",
    "RECORD",
    "Workspace",
    "check_writable",
    "discard",
    "open_workspace",
    "runs_folder",
    "shared_workspace",
]

logger = logging.getLogger(__name__)

CIRCUIT, METRICS, CHECKPOINT = "circuit.json", "metrics.json", "checkpoint.jsonl"
RECORD = "run.json"  # written last: a run that has one is finished
EVALUATION = "evaluation"  # the folder of a run's evaluation
LONGEST_NAME = 80
SETTLED_SECONDS = 60  # a folder that changed later may be a run that is just starting


class Workspace(NamedTuple):
    """A run's folder, and its open checkpoint."""

    path: Path
    checkpoint: FileCheckpoint | MirroredCheckpoint


def runs_folder(out: str | Path, task: str, model: str, method: str) -> Path:
    """The folder of all runs of this task, model and method. No name leads out of `out`.

    >>> runs_folder("outputs", "ioi", "EleutherAI/pythia-160m", "acdc").as_posix()
    'outputs/ioi/EleutherAI--pythia-160m/acdc'
    """
    local = Path(model).expanduser()
    name = local.resolve().name if local.exists() or local.is_absolute() else model.replace("/", "--")
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


def shared_workspace(ranks: Ranks, runs: Path, fingerprint: str, *, resume: bool) -> Workspace:
    """What `open_workspace` gives the first process, and for the others a mirror of it.

    Raises:
        FileError: The folder or the checkpoint can't be made.
    """
    if ranks.n == 1:
        return open_workspace(runs, fingerprint, resume=resume)
    opened = open_workspace(runs, fingerprint, resume=resume) if ranks.is_first else None
    path = ranks.by_first(lambda: None if opened is None else opened.path)
    checkpoint = mirrored(ranks, None if opened is None else opened.checkpoint)
    assert path is not None and checkpoint is not None, "the first process has opened a run"
    return Workspace(path, checkpoint)


def open_workspace(runs: Path, fingerprint: str, *, resume: bool) -> Workspace:
    """The newest run of this fingerprint whose checkpoint is still there, if there is one and `resume`, else a new run.

    What killed processes left among these runs is cleared away.

    Raises:
        FileError: The folder or the checkpoint can't be made.
    """
    workspace = _left_behind(runs, fingerprint) if resume else None
    if workspace is not None:
        logger.info("continuing the unfinished run %s", workspace.path)
    else:
        workspace = _new_workspace(runs, fingerprint)
    _clear_away(runs, workspace.path)
    return workspace


def discard(workspace: Workspace) -> None:
    """Remove a run that came to nothing."""
    workspace.checkpoint.discard()
    if isinstance(workspace.checkpoint, FileCheckpoint) and not any(workspace.path.iterdir()):
        workspace.path.rmdir()


def _left_behind(runs: Path, fingerprint: str) -> Workspace | None:
    for path in sorted(runs.glob(f"*/{CHECKPOINT}"), reverse=True):
        if fingerprint[:8] not in path.parent.name:
            continue
        try:
            return Workspace(path.parent, FileCheckpoint(path, fingerprint))
        except (ACDCError, BlockingIOError):  # of other arguments, or another process is at it
            continue
    return None


def _new_workspace(runs: Path, fingerprint: str) -> Workspace:
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{fingerprint[:8]}"
    try:
        folder = _new_folder(runs, name)
    except OSError as error:
        raise FileError(f"can't make a folder in {runs}: {error.strerror or error}") from None
    try:
        return Workspace(folder, FileCheckpoint(folder / CHECKPOINT, fingerprint))
    except BaseException:
        (folder / CHECKPOINT).unlink(missing_ok=True)
        folder.rmdir()
        raise


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


def _clear_away(runs: Path, own: Path) -> None:
    """Remove what killed processes left: temporary files, checkpoints of finished runs, runs that measured nothing."""
    sweep(own, all_of_them=True)  # its checkpoint is locked, so nobody else writes there
    for folder in runs.iterdir():
        if folder == own or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            if time.time() - folder.stat().st_mtime > SETTLED_SECONDS:
                _clear_run(folder)
        except OSError:  # another process is at it, or was faster
            continue


def _clear_run(folder: Path) -> None:
    sweep(folder)
    checkpoint, names = folder / CHECKPOINT, {path.name for path in folder.iterdir()}
    if CHECKPOINT in names and (RECORD in names or len(names) == 1):
        clear_checkpoint(checkpoint, finished=RECORD in names)
    if not any(folder.iterdir()):
        folder.rmdir()


def _safe(name: str) -> str:
    """The name as one path component: letters, digits, dot, dash and underscore."""
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:LONGEST_NAME]
    return os.fsdecode(os.fsencode(safe)[:200]) or "unnamed"
