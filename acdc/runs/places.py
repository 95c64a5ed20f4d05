"""The task that a record names: by the whole path of its file, and never run by the record alone."""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from acdc.errors import RunError, printable
from acdc.task import ENTRY_POINTS, TASK_FILE, Task, is_data_file

__all__ = ["check_recorded_task", "task_place"]


def task_place(spec: str) -> str:
    """A task with the whole path of its file, if it is in one.

    >>> task_place("ioi"), task_place("my_package.tasks:Mine")
    ('ioi', 'my_package.tasks:Mine')
    """
    place, colon, name = spec.rpartition(":")
    if place.startswith(TASK_FILE) and (file := getattr(sys.modules.get(place), "__file__", None)):
        place = file  # a class that was taken from a task's file
    return f"{Path(place).expanduser().resolve()}:{name}" if colon and place.endswith(".py") else spec


def check_recorded_task(spec: Any, *, trusted: bool) -> str:
    """The name of a recorded task, unless loading it would run code that nobody here has asked for.

    Names of installed tasks and data files, which hold no code, are fine, and so are a class of a module that is
    imported already and a task's file that this process has run already.

    Raises:
        RunError: It names a file or a module, and `trusted` is False; or it isn't a name.
    """
    if not isinstance(spec, str):
        raise RunError(f"a recorded task must be a name, not {printable(repr(spec), 60)}; name it (task, --task)")
    if trusted or is_data_file(spec) or not (":" in spec or spec.endswith(".py")) or _is_here(spec):
        return spec
    raise RunError(
        f"the record names code as its task, {printable(repr(spec), 200)}, which runs only if you say so: name the "
        "task yourself (--task, task=...), or trust the record (--trust-task, trust_task=True)"
    )


def _is_here(spec: str) -> bool:
    """Whether it is an installed task, or one whose code this process has run already."""
    if spec in {point.value for point in entry_points(group=ENTRY_POINTS)}:
        return True
    place, _, name = spec.rpartition(":")
    if place.endswith(".py"):
        return Path(place).resolve() in _files_run()
    found = vars(sys.modules[place]).get(name) if place in sys.modules else None
    return isinstance(found, type) and issubclass(found, Task)


def _files_run() -> set[Path]:
    """The task files that were asked for in this process."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(TASK_FILE)]
    return {Path(file).resolve() for module in modules if (file := getattr(module, "__file__", None))}
