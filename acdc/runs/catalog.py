"""Which runs there are: finished, unfinished, running and damaged ones, from their small files alone."""

import logging
from dataclasses import dataclass
from pathlib import Path

from acdc.circuits.circuit import model_words
from acdc.errors import ACDCError, RunError
from acdc.runs.checkpoint import is_being_written
from acdc.runs.folders import CHECKPOINT, RECORD
from acdc.runs.result import read_metrics, read_record

__all__ = ["Listed", "find_run", "find_runs", "list_runs"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listed:
    """A run's folder at a glance.

    Attributes:
        state: finished, unfinished (the same command continues it), running, or damaged.
        task, model, method: Of runs without a readable record, the names of the folders.
        when: When it was started, in UTC.
        no_meaning: Why its faithfulness says nothing.
        why: What is wrong with a damaged one.
    """

    path: Path
    state: str
    task: str
    model: str
    method: str
    when: str
    n_edges: int | None = None
    n_edges_of_model: int | None = None
    faithfulness: float | None = None
    accuracy: float | None = None
    n_warnings: int | None = None
    no_meaning: str | None = None
    why: str | None = None


def list_runs(out: str | Path) -> list[Listed]:
    """All runs below a folder, the newest first.

    Raises:
        RunError: There is no such folder.
    """
    folder = Path(out).expanduser()
    if not folder.is_dir():
        raise RunError(f"there is no folder {str(out)!r} with runs; name it: acdc runs FOLDER")
    paths = {path.parent for name in (RECORD, CHECKPOINT) for path in folder.rglob(name)}
    return [_listed(path) for path in sorted(paths, key=lambda path: (path.name, str(path)), reverse=True)]


def _listed(path: Path) -> Listed:
    task, model, method = path.absolute().parts[-4:-1]
    if not (path / RECORD).is_file():
        state = "running" if is_being_written(path / CHECKPOINT) else "unfinished"
        return Listed(path, state, task, model, method, path.name.partition("-")[0])
    try:
        record, metrics = read_record(path), read_metrics(path)
    except ACDCError as error:
        return Listed(path, "damaged", task, model, method, path.name.partition("-")[0], why=str(error))
    arguments = record["arguments"]
    return Listed(
        path,
        "finished",
        arguments["task_name"],
        model_words(arguments["model"]),
        arguments["method"],
        str(record.get("started", path.name.partition("-")[0])),
        metrics["n_edges"],
        metrics["n_edges_of_model"],
        metrics["faithfulness"],
        metrics["accuracy"]["circuit"],
        len(record.get("warnings", [])),
        metrics["no_meaning"],
    )


def find_run(path: str | Path) -> Path:
    """The run folder that `path` means: itself, or the newest finished run somewhere below it.

    Raises:
        RunError: There is no such folder, or no finished run in it.
    """
    runs = find_runs(path)
    if len(runs) > 1:
        logger.warning("of the %d runs below %s this is the newest: %s", len(runs), path, runs[0])
    return runs[0]


def find_runs(path: str | Path) -> list[Path]:
    """The run folders that `path` means: itself, or the finished runs somewhere below it, the newest first.

    Raises:
        RunError: There is no such folder, or no finished run in it.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise RunError(
            f"there is no run {str(path)!r}: give a run's folder, a circuit.json, or a folder with runs in it"
        )
    if (folder / RECORD).is_file() or (folder / CHECKPOINT).is_file():
        return [folder]
    runs = sorted((record.parent for record in folder.rglob(RECORD)), key=lambda run: run.name, reverse=True)
    if not runs:
        raise RunError(f"there is no finished run in {str(folder)!r}")
    return runs
