"""A built-in task is one file, complete in itself; and the prompts of a seed are those of the runs that were saved."""

import ast
import inspect
import random
import shutil
from pathlib import Path

import pytest

import acdc
from acdc.task import load_task, registered_tasks
from tests.tasks.test_builtin import tokenizer_of

FOLDER = Path(__file__).parents[2] / "tasks"
FILES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
BUILT_IN = {name: kind for name, kind in registered_tasks().items() if kind.__module__.startswith("acdc_tasks.")}
PROMPTS = {  # of seed 0: the start of the fingerprint of twenty discovery and twenty held-out pairs
    "agreement": "79bc874ebcad 12d72bcb917c",
    "arithmetic": "922ad8aad22b 6347e2a9691a",
    "brackets": "db9e291a71e0 e1da25131942",
    "capitals": "3df77de5aea7 420881ce1ad4",
    "chain": "34226656fc45 7cd015eb01da",
    "colored-objects": "4a49906cbc06 0903fb6b8bec",
    "docstring": "0a582adddc3e 74bac5d4ca8a",
    "either": "2c5d65e4e2c3 18b0f51e1d14",
    "frac-prevs": "625bfc755fb1 cca09e3bec49",
    "gendered-pronoun": "8dbd34c40ab9 b4f7b26d410f",
    "greater-than": "8c5898f98255 7c0fb952955c",
    "induction": "d43e809dd2c3 92d8a052811b",
    "ioi": "320262f0e5a8 cc405ea79568",
    "multiple-choice": "6cf41bba3827 2528741b5920",
    "neighbor": "d2ec38429064 df9580faa16f",
    "recall": "4d01a9d6b8e8 b2a55d026dff",
    "reverse": "b74ab689436d aeb6af3c750b",
    "suppression": "dcb79f401f58 9f09de6ff22d",
}


def test_every_file_holds_one_task() -> None:
    assert sorted(Path(inspect.getfile(kind)).resolve() for kind in BUILT_IN.values()) == FILES


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_task_imports_public_names_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] in ("acdc", "acdc_tasks") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "it stands alone"
            if (node.module or "").split(".")[0] in ("acdc", "acdc_tasks"):
                assert node.module == "acdc"
                assert {alias.name for alias in node.names} <= set(acdc.__all__)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_copied_file_works_from_anywhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, tokenizer = BUILT_IN[name], tokenizer_of(BUILT_IN[name].default_model)
    shutil.copy(inspect.getfile(kind), tmp_path / "copied_task.py")
    monkeypatch.chdir(tmp_path)
    copied, own = load_task(f"copied_task.py:{kind.__name__}"), load_task(name)
    assert type(copied) is not type(own)
    for held_out in (False, True):
        batches = [task.batch(tokenizer, 12, 1, held_out=held_out) for task in (copied, own)]
        assert batches[0].fingerprint == batches[1].fingerprint
    assert list(copied.pairs(tokenizer, 5, random.Random(2))) == list(own.pairs(tokenizer, 5, random.Random(2)))


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_prompts_of_a_seed_stay_what_they_were(name: str) -> None:
    task, tokenizer = load_task(name), tokenizer_of(BUILT_IN[name].default_model)
    sides = [task.batch(tokenizer, 20, held_out=side).fingerprint[:12] for side in (False, True)]
    assert PROMPTS[name] == " ".join(sides)
