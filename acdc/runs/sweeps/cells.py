"""A grid's cells before any of them runs: arguments checked, the command that runs each, and its run if there is one.

A cell is done if the folder of its runs holds a finished one with the same arguments: all that `run.json` records of
them, defaults and the method's options included. Versions aren't compared, but told in the results; weights and the
task's code can't be compared before each model is loaded.
"""

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from acdc.errors import ACDCError, RunError, counted, shown
from acdc.files import plain
from acdc.models.devices import as_device, check_device_map
from acdc.options.words import guessed
from acdc.runs.arguments import Arguments, resolve_arguments
from acdc.runs.fingerprint import fingerprint
from acdc.runs.folders import RECORD, check_writable, runs_folder
from acdc.runs.model_spec import ModelSpec
from acdc.runs.result import read_record
from acdc.runs.sweeps.grid import Cell, Grid, cells_of
from acdc.task import load_task

__all__ = ["PlannedCell", "check_devices", "plan", "with_runs"]

logger = logging.getLogger(__name__)

MOST_TOLD = 5  # mistakes in one message


@dataclass(frozen=True, eq=False)
class PlannedCell:
    """A run to be made, or one that is there.

    Attributes:
        arguments: Resolved, with all defaults.
        runs: The folder of all runs of this task, model and method.
        run: The newest finished run of these arguments, if there is one.
    """

    cell: Cell
    arguments: Arguments
    out: Path
    runs: Path
    run: Path | None = None

    @cached_property
    def name(self) -> str:
        """Short, for its log: task, model, method, and a digest of all arguments."""
        task, model, method = self.runs.parts[-3:]
        return f"{task}-{model}-{method}-{_digest(self.arguments.to_json())[:8]}"

    @property
    def words(self) -> list[str]:
        """The ordinary command, word by word, from `discover` on."""
        return ["discover", self.cell.task, *_flags(self.cell), "--out", str(self.out)]

    @property
    def command(self) -> str:
        """The same as a line of a shell."""
        return shlex.join(["acdc", *self.words])


def plan(grid: Grid, out: str | Path) -> list[PlannedCell]:
    """The cells of a grid, each checked as a run is before its model is loaded. Equal ones are taken once.

    Devices aren't looked for: the cells may run elsewhere (see `check_devices`).

    Raises:
        ACDCError: Something in the grid can't be used; the message names up to five mistakes.
    """
    found: dict[str, PlannedCell] = {}
    mistakes: dict[str, str] = {}
    cells, models = cells_of(grid), _Models()
    for cell in cells:
        try:
            planned = _planned(cell, Path(out), models)
        except ACDCError as error:
            mistakes.setdefault(str(error), str(cell))
        else:
            found.setdefault(planned.name, planned)
    if mistakes:
        raise RunError(_told(mistakes))
    if twice := len(cells) - len(found):
        logger.warning("%s of the grid %s another one's run", counted(twice, "cell"), "is" if twice == 1 else "are")
    for folder in {each.runs for each in found.values()}:
        check_writable(folder)
    return with_runs(list(found.values()))


def with_runs(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    """The cells with their finished runs, as far as they are there now."""
    known = {folder: _finished(folder) for folder in {cell.runs for cell in cells}}
    return [replace(cell, run=known[cell.runs].get(_digest(cell.arguments.to_json()))) for cell in cells]


def check_devices(cells: Sequence[PlannedCell]) -> None:
    """Raise `ModelError` where this machine lacks a device that a cell is to run on."""
    for device in {cell.cell.device for cell in cells}:
        as_device(device)


class _Models:
    """Models by their names; each is looked for once, which may ask the hub."""

    def __init__(self) -> None:
        self._found: dict[tuple[str | None, ...], ModelSpec | ACDCError] = {}

    def find(self, name: str, cell: Cell) -> ModelSpec:
        """The model of this name, as the cell loads it.

        Raises:
            ACDCError: It can't be had.
        """
        check_device_map(cell.device_map, cell.device)
        key = (name, cell.dtype, cell.device_map, cell.revision)
        if key not in self._found:
            try:
                self._found[key] = ModelSpec.of(
                    name, dtype=cell.dtype, device_map=cell.device_map, revision=cell.revision
                )
            except ACDCError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, ACDCError):
            raise found
        return replace(found, device=cell.device, trust_remote_code=cell.trust_remote_code)


def _planned(cell: Cell, out: Path, models: _Models) -> PlannedCell:
    _check_words(cell)
    task = load_task(cell.task, **cell.task_options)
    arguments = resolve_arguments(
        models.find(task.default_model if cell.model is None else cell.model, cell),
        cell.task,
        method=cell.method,
        options=cell.options,
        task_options=cell.task_options,
        metric=cell.metric,
        ablation=cell.ablation,
        direction=cell.direction,
        positions=cell.positions,
        n=cell.n,
        seed=cell.seed,
        bos=cell.bos,
        memory=cell.memory,
    )
    runs = runs_folder(out, arguments.task.name, arguments.model.name, str(arguments.method))
    return PlannedCell(cell, arguments, out, runs)


def _told(mistakes: Mapping[str, str]) -> str:
    """Mistakes and the first cell of each, in one line."""
    told = [f"{message} (in {cell})" for message, cell in list(mistakes.items())[:MOST_TOLD]]
    more = f"; and {len(mistakes) - MOST_TOLD} more" if len(mistakes) > MOST_TOLD else ""
    return "; ".join(told) + more


def _finished(runs: Path) -> dict[str, Path]:
    """The newest finished run of each set of arguments; damaged ones count as not there."""
    found = {}
    for path in sorted(runs.glob(f"*/{RECORD}")):  # by the time of their start
        try:
            record = read_record(path.parent)
        except ACDCError as error:
            logger.warning("%s", error)
            continue
        found[_digest(record["arguments"])] = path.parent
    return found


def _digest(arguments: Mapping[str, Any]) -> str:
    """Names a run's arguments, as asked or as recorded: with the number of prompts that were asked for, and the kind of
    device instead of its number."""
    asked = plain(dict(arguments))
    n_asked = asked.pop("n_asked", None)
    asked["n"] = n_asked or asked["n"]
    asked["device"] = str(asked["device"]).partition(":")[0] if asked.get("device_map") is None else None
    return fingerprint(asked)


def _flags(cell: Cell) -> list[str]:
    """The command's words for what the cell says and isn't the default."""
    words: list[str] = []
    for name, value in cell.model_dump(exclude={"task", "options", "task_options"}).items():
        flag = f"--{name.replace('_', '-')}"
        if value == Cell.model_fields[name].default:
            continue
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-"))
        else:
            words.append(f"{flag}={value}")
    words += [f"--option={name}={_word(value)}" for name, value in cell.options.items()]
    return words + [f"--task-option={name}={_word(value)}" for name, value in cell.task_options.items()]


def _word(value: Any) -> str:
    """A value as a command line has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_words(cell: Cell) -> None:
    """Raise `RunError` where a command line can't say a value: it reads words as numbers if they look so."""
    for name, value in cell.task_options.items():
        if (type(value), value) != (type(read := guessed(_word(value))), read):
            raise RunError(f"task_options {name}: a command line can't say {shown(value)}: it would be {shown(read)}")
    for name, value in cell.options.items():
        if _word(value) != _word(value).strip():
            raise RunError(f"options {name}: {shown(value)} begins or ends with a space")
