"""A grid's file: what is multiplied, whose options are whose, and what is refused before anything runs."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from acdc import discover
from acdc.errors import ACDCError
from acdc.runs.sweeps.grid import MOST_CELLS, Cell, Grid, cells_of, read_grid

pytestmark = pytest.mark.fast


def test_a_cell_has_all_arguments_of_discover_that_a_file_can_hold() -> None:
    elsewhere = {"out", "resume", "tokenizer", "progress", "ranks"}  # of the sweep, of a live model, of torchrun
    assert set(Cell.model_fields) == set(inspect.signature(discover).parameters) - elsewhere
    defaults = {name: p.default for name, p in inspect.signature(discover).parameters.items()}
    for name, field in Cell.model_fields.items():
        if name not in ("task", "model", "options", "task_options"):
            assert field.default == defaults[name], name


def test_lists_are_multiplied_the_last_fastest() -> None:
    grid = read_grid({"defaults": {"n": 5}, "grid": {"task": ["ioi", "induction"], "method": "eap", "seed": [3, 4]}})
    found = [(cell.task, cell.seed, cell.n, cell.method) for cell in cells_of(grid)]
    assert found == [("ioi", 3, 5, "eap"), ("ioi", 4, 5, "eap"), ("induction", 3, 5, "eap"), ("induction", 4, 5, "eap")]


def test_options_are_those_of_their_method_alone_by_any_of_its_names() -> None:
    tables = {
        "defaults": {"options": {"acdc": {"sweeps": 2}}},
        "grid": {"task": "ioi", "method": ["acdc", "eap"], "options": {"acdc": {"tau": [0.1, "5%"]}}},
        "cell": [{"task": "ioi", "options": {"tau": 1.0}}, {"task": "ioi", "method": "ifr", "seed": 9}],
    }
    found = [(cell.method, cell.options) for cell in cells_of(read_grid(tables))]
    assert found == [
        ("acdc", {"sweeps": 2, "tau": 0.1}),
        ("acdc", {"sweeps": 2, "tau": "5%"}),
        ("eap", {}),
        ("acdc", {"sweeps": 2, "tau": 1.0}),
        ("ifr", {}),
    ]


def test_options_of_a_task_are_those_of_its_cells() -> None:
    tables = {"grid": {"task": ["ioi", "induction"], "task_options": {"ioi": {"corruption": ["abc", "other"]}}}}
    found = [(cell.task, cell.task_options) for cell in cells_of(read_grid(tables))]
    assert found == [("ioi", {"corruption": "abc"}), ("ioi", {"corruption": "other"}), ("induction", {})]


def test_a_file_is_read_as_its_dictionary_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[defaults]\nn = 5\n[grid]\ntask = ["ioi"]\n[[cell]]\ntask = "induction"\n[cluster]\nmem_gb = 4\n')
    tables = {"defaults": {"n": 5}, "grid": {"task": ["ioi"]}, "cell": [{"task": "induction"}]}
    read = read_grid(file)
    assert read == Grid("mine", tables["defaults"], tables["grid"], tuple(tables["cell"]), {"mem_gb": 4})
    assert cells_of(read) == cells_of(read_grid(tables))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "nothing is asked for: write a [grid] of lists to multiply, or [[cell]]s"),
    ({"grids": {}}, "unknown table of a grid 'grids': did you mean 'grid'?"),
    ({"grid": {"tasks": ["ioi"]}}, "unknown key of [grid] 'tasks': did you mean 'task'?"),
    ({"grid": {"task": "ioi"}, "defaults": {"seeds": 1}}, "unknown key of [defaults] 'seeds': did you mean 'seed'?"),
    ({"cell": [{"task": "ioi", "tau": 1}]}, "unknown key of [[cell]] 'tau'"),
    ({"cell": {"task": "ioi"}}, "write [[cell]], not [cell]"),
    ({"cell": ["ioi"]}, "a [[cell]] must be a table of keys and values, not 'ioi'"),
    ({"grid": ["ioi"]}, "[grid] must be a table of keys and values"),
    ({"grid": {"method": "eap"}}, "[grid]: 'task': field required"),
    ({"grid": {"task": ["ioi", 3]}}, "[grid]: 'task': input should be a valid string, not 3"),
    ({"grid": {"task": "ioi", "seed": "1"}}, "'seed': input should be a valid integer, not '1'"),
    ({"grid": {"task": "ioi", "seed": []}}, "the list of seed in [grid] is empty"),
    ({"grid": {"task": "ioi", "method": "epa"}}, "unknown method 'epa': did you mean 'eap'?"),
    ({"grid": {"task": "ioi", "options": {"tau": 0.1}}}, "[grid] options 'tau', which holds a table for each method,"),
    ({"grid": {"task": "ioi", "options": {"eap": {"n_edges": 3}}}}, "options for method 'eap', which no cell has"),
    ({"grid": {"task": "ioi", "task_options": {"x": {"a": 3}}}}, "task_options for task 'x', which no cell has"),
    ({"grid": {"task": "ioi", "seed": list(range(MOST_CELLS + 1))}}, "more than 10,000 cells"),
    ({"grid": {"task": "ioi", "options": {"acdc": {"tau": [0.1] * 20_000}}}}, "more than 10,000 cells"),
]


@pytest.mark.parametrize(("tables", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_mistakes_are_told(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ACDCError, match=re.escape(message)):
        cells_of(read_grid(tables))


@pytest.mark.parametrize(("content", "message"), [("[grid", "is not TOML"), ("[grid]\nx = 1", "bad.toml: unknown key")])
def test_a_files_mistakes_name_it(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(content)
    with pytest.raises(ACDCError, match=re.escape(message)):
        read_grid(file)
    with pytest.raises(ACDCError, match="can't read"):
        read_grid(tmp_path / "none.toml")
