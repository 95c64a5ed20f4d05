"""A grid: which runs a sweep is made of. `read_grid` reads its file, `cells_of` multiplies it out.

[defaults]                     # of every cell
n = 20

[grid]                         # lists are multiplied
task = ["ioi", "greater-than"]
method = ["eap", "hap"]
seed = [0, 1, 2]

[grid.options.hap]             # options of one method, in its cells alone; lists are multiplied
tau = [0.01, 0.02]

[[cell]]                       # one more, as it stands
task = "capitals"
method = "acdc"
options = { tau = "5%" }

[cluster]                      # of jobs: parameters of submitit
timeout_min = 240
"""

import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from acdc.discovery import get_method
from acdc.errors import ACDCError, FileError, RunError, printable, shown, unknown_name
from acdc.files import read_bytes, validated
from acdc.options.defaults import ABLATION, DEVICE, DIRECTION, DTYPE, METHOD, N_PROMPTS, POSITIONS, SEED

__all__ = ["MOST_CELLS", "Cell", "Grid", "cells_of", "read_grid"]

MOST_CELLS = 10_000
MOST_BYTES = 2**24
TABLES = ("defaults", "grid", "cell", "cluster")


class Cell(BaseModel):
    """One run: the arguments of `acdc.discover` that a file can hold."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, protected_namespaces=())

    task: str
    model: str | None = None
    method: str = METHOD
    metric: str | None = None
    ablation: str = ABLATION
    direction: str = DIRECTION
    positions: str = POSITIONS
    n: int = N_PROMPTS
    seed: int = SEED
    bos: bool | None = None
    memory: int | str | None = None
    dtype: str = DTYPE
    device: str = DEVICE
    device_map: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    task_options: dict[str, Any] = {}
    options: dict[str, Any] = {}

    def __str__(self) -> str:
        told = [self.task, *([] if self.model is None else [self.model]), self.method, f"seed {self.seed}"]
        return " ".join(told)


OWN_OPTIONS = {"options": "method", "task_options": "task"}  # in [grid] and [defaults] these are tables by its name
FIELDS = tuple(name for name in Cell.model_fields if name not in OWN_OPTIONS)


@dataclass(frozen=True)
class Grid:
    """A grid's tables, with known keys alone.

    Attributes:
        name: For the folder of its results: that of the file.
        axes: `[grid]`: a value or a list of them for each key; `options` and `task_options` hold a table for each
            method or task.
        cells: `[[cell]]`: the arguments of each.
        cluster: Parameters of submitit.
    """

    name: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[Mapping[str, Any], ...] = ()
    cluster: Mapping[str, Any] = field(default_factory=dict)


def read_grid(source: str | Path | Mapping[str, Any]) -> Grid:
    """A grid from its TOML file, or from a dictionary of the same form.

    Raises:
        FileError: The file can't be read or isn't TOML.
        RunError: A table has the wrong form.
        UnknownNameError: A table or a key isn't known.
    """
    if isinstance(source, Mapping):
        return _checked(source, "sweep")
    path = Path(source).expanduser()
    content = read_bytes(path, max_bytes=MOST_BYTES)
    try:
        tables = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not TOML: {printable(str(error), 200)}") from None
    try:
        return _checked(tables, path.stem)
    except ACDCError as error:
        raise type(error)(f"{path}: {error}") from None


def _checked(tables: Mapping[str, Any], name: str) -> Grid:
    _check_keys("table of a grid", tables, TABLES)
    defaults, axes, cluster = (_table(tables.get(key, {}), f"[{key}]") for key in ("defaults", "grid", "cluster"))
    cells = tables.get("cell", [])
    if not isinstance(cells, list):
        raise RunError("cell must be a list of tables: write [[cell]], not [cell]")
    if not axes and not cells:
        raise RunError("nothing is asked for: write a [grid] of lists to multiply, or [[cell]]s")
    for where, table in (("[defaults]", defaults), ("[grid]", axes)):
        _check_keys(f"key of {where}", table, Cell.model_fields)
        for key in OWN_OPTIONS.keys() & table.keys():
            for owner, options in _table(table[key], f"{where} {key}").items():
                _table(options, f"{where} {key} {owner!r}, which holds a table for each {OWN_OPTIONS[key]},")
    for cell in cells:
        _check_keys("key of [[cell]]", _table(cell, "a [[cell]]"), Cell.model_fields)
    return Grid(name, defaults, axes, tuple(cells), cluster)


def _table(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RunError(f"{what} must be a table of keys and values, not {shown(value)}")
    return value


def _check_keys(kind: str, table: Mapping[str, Any], known: Any) -> None:
    for key in table:
        if key not in known:
            raise unknown_name(kind, str(key), known)


def cells_of(grid: Grid) -> list[Cell]:
    """The cells, in the grid's order, the last key's values changing fastest; then those that stand for themselves.

    Raises:
        RunError: A value has the wrong type, a list is empty, options are of a method or task that no cell has, or
            there are too many cells.
        UnknownNameError: There is no such method.
    """
    found: list[Cell] = []
    for cell in itertools.chain(_multiplied(grid) if grid.axes else (), _explicit(grid)):
        found.append(cell)
        if len(found) > MOST_CELLS:
            raise _too_many()
    _check_owners(grid, found)
    return found


def _multiplied(grid: Grid) -> Iterator[Cell]:
    axes = {key: _choices(key, value) for key, value in grid.axes.items() if key in FIELDS}
    if math.prod(map(len, axes.values())) > MOST_CELLS:
        raise _too_many()
    for values in itertools.product(*axes.values()):
        cell = _cell({**_of(grid.defaults, FIELDS), **dict(zip(axes, values, strict=True))}, "[grid]")
        own = {key: _own_options(grid, key, cell) for key in OWN_OPTIONS}
        for options in _products(own["options"]):
            for of_task in _products(own["task_options"]):
                yield cell.model_copy(update={"options": options, "task_options": of_task})


def _explicit(grid: Grid) -> Iterator[Cell]:
    for table in grid.cells:
        cell = _cell({**_of(grid.defaults, FIELDS), **table}, "[[cell]]")
        own = {key: {**_defaults(grid, key, cell), **getattr(cell, key)} for key in OWN_OPTIONS}
        yield cell.model_copy(update=own)


def _cell(values: Mapping[str, Any], where: str) -> Cell:
    try:
        cell = validated(Cell, dict(values), what=where)
    except FileError as error:
        raise RunError(str(error)) from None
    get_method(cell.method)
    return cell


def _of(table: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: table[key] for key in keys if key in table}


def _own_options(grid: Grid, key: str, cell: Cell) -> dict[str, list[Any]]:
    """The choices of each option of the cell's method, or of its task."""
    given = {**_defaults(grid, key, cell), **_owned(grid.axes, key, cell)}
    return {name: _choices(f"{key} {name}", value) for name, value in given.items()}


def _defaults(grid: Grid, key: str, cell: Cell) -> dict[str, Any]:
    return _owned(grid.defaults, key, cell)


def _owned(table: Mapping[str, Any], key: str, cell: Cell) -> dict[str, Any]:
    """What a table says of the options of this cell's method or task, by whatever name it calls that."""
    owner = _name(key, getattr(cell, OWN_OPTIONS[key]))
    found: dict[str, Any] = {}
    for name, options in table.get(key, {}).items():
        if _name(key, name) == owner:
            found |= options
    return found


def _name(key: str, owner: str) -> str:
    return get_method(owner).name if key == "options" else owner


def _choices(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    if not value:
        raise RunError(f"the list of {key} in [grid] is empty; leave it out, or name a value")
    return value


def _products(choices: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _check_owners(grid: Grid, cells: list[Cell]) -> None:
    """Raise `RunError` where options are given for a method or a task that no cell has: nobody would see them."""
    for key, owner in OWN_OPTIONS.items():
        used = {_name(key, getattr(cell, owner)) for cell in cells}
        for where, table in (("[defaults]", grid.defaults), ("[grid]", grid.axes)):
            for name in table.get(key, {}):
                if _name(key, name) not in used:
                    raise RunError(f"{where} has {key} for {owner} {name!r}, which no cell has")


def _too_many() -> RunError:
    return RunError(f"the grid has more than {MOST_CELLS:,} cells; part it into several files")
