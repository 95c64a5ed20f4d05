"""Finding tasks: by the name that a package registers, in a module, or in a user's own file."""

import importlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from acdc.errors import ACDCError, TaskError, printable, unknown_name
from acdc.prompts.pairs import PromptPair
from acdc.task.base import Task
from acdc.task.prompt_data import PromptFile
from acdc.task.prompt_list import PromptList
from acdc.task.table_file import is_data_file
from acdc.task.users_code import file_of, users_code

__all__ = ["ENTRY_POINTS", "TASK_FILE", "load_task", "registered_tasks"]

logger = logging.getLogger(__name__)

ENTRY_POINTS = "acdc.tasks"
TASK_FILE = "acdc_task_file_"  # starts the name of the module of a user's file
MISSING = object()


def registered_tasks() -> dict[str, type[Task]]:
    """Every task that an installed package offers in the entry-point group `acdc.tasks`, by name.

    One that can't be imported is left out with a warning: a broken package doesn't hide the others.
    """
    found = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        try:
            found[point.name] = _registered(point.name)
        except ACDCError as error:
            logger.warning("%s", error)
    return found


def load_task(spec: "str | Task | type[Task] | Sequence[PromptPair]", **options: Any) -> Task:
    """The task that `spec` names.

    Args:
        spec: A registered name, `path/to/file.py:Class`, `module:Class`, a data file (`prompts.jsonl`, .json, .csv), a
            `Task` class, a task, or a list of pairs.
        options: Keyword arguments of the task's class.

    Raises:
        UnknownNameError: No registered task has this name, the file has no such class, or the class no such option.
        TaskError: The file, module or class can't be loaded or is not a task, or an attribute of it is not of its kind.
    """
    if isinstance(spec, Task):
        if options:
            raise TaskError(f"options ({', '.join(options)}) can't be given to a task that is already made")
        return spec
    if isinstance(spec, list | tuple):
        return _make(PromptList, {"pairs": spec, **options})
    if isinstance(spec, str) and is_data_file(spec):
        return _make(PromptFile, {"path": spec, **options})
    kind = _task_class(spec) if isinstance(spec, str) else spec
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise TaskError(
            f"{printable(repr(spec))} is not a task: expected a subclass of acdc.Task, a name, or a list of PromptPair"
        )
    if inspect.isabstract(kind):
        missing = ", ".join(f"`{name}`" for name in sorted(kind.__abstractmethods__))
        raise TaskError(f"{kind.__name__} can't be used as a task: it has no method {missing}")
    made = _make(kind, options)
    _check_attributes(made)
    return made


def _check_attributes(task: Task) -> None:
    """Raise `TaskError` where an attribute is not of its kind."""
    kinds = {"name": str, "summary": str, "source": str, "metric": str, "gradient_metric": str, "default_model": str}
    kinds["answers"] = str
    kinds |= {"prepend_bos": bool | None, "bare_ids": bool}  # type: ignore[dict-item]
    for name, kind in kinds.items():
        with users_code(f"{type(task).__name__} can't be used as a task", file_of(type(task))):
            value = getattr(task, name, MISSING)
        if value is MISSING or value == "" == name:
            raise TaskError(f"{type(task).__name__} can't be used as a task: it has no `{name}`")
        if not isinstance(value, kind):
            expected = "text" if kind is str else "True, False or None"
            raise TaskError(
                f"{type(task).__name__} can't be used as a task: its `{name}` must be {expected}, "
                f"not {printable(repr(value), 60)}"
            )


def _make(kind: type[Task], options: dict[str, Any]) -> Task:
    known = inspect.signature(kind).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for name in options:
        if name not in known and not takes_all:
            raise unknown_name(f"option of task {_name_of(kind)!r}", name, known)
    with users_code(f"task {_name_of(kind)!r} could not be made", file_of(kind)):
        return kind(**options)


def _name_of(kind: type[Task]) -> str:
    return printable(str(getattr(kind, "name", kind.__name__)), 60)


def _task_class(spec: str) -> Any:
    place, colon, name = spec.rpartition(":")
    if not colon:
        if spec.endswith(".py"):
            raise TaskError(f"{spec!r} names a file; say which class in it is the task, like {spec}:MyTask")
        return _registered(spec)
    module = _module_of_file(Path(place)) if place.endswith(".py") else _module(place)
    with users_code(f"{spec!r} can't be read", getattr(module, "__file__", None)):
        found = getattr(module, name, MISSING)
    if found is MISSING:
        tasks = [key for key, value in vars(module).items() if _is_task(value)]
        raise unknown_name(f"task class in {place}", name, tasks)
    return found


def _is_task(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Task) and not inspect.isabstract(value)


def _registered(name: str) -> Any:
    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in points:
        raise unknown_name("task", name, sorted(points))
    with users_code(f"task {name!r} ({points[name].value}) can't be imported"):
        return points[name].load()


def _module(name: str) -> ModuleType:
    with users_code(f"module {name!r} can't be imported"):
        return importlib.import_module(name)


def _module_of_file(path: Path) -> ModuleType:
    """The module of a user's own file, run again under a name of its own."""
    if not path.is_file():
        raise TaskError(f"there is no task file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(f"{TASK_FILE}{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    with users_code(f"the task file {str(path)!r} failed", str(path)):
        spec.loader.exec_module(module)
    return module
