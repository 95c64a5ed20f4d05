"""The scores that ship with the bundled models are what they reach, and `acdc tasks` tells them readably."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from measure_zoo import measure, table
from train_acdc_tasks import COLUMNS, N_TEST, TEST_SEED

from acdc.models import PatchableModel
from acdc.task import load_task, registered_tasks
from acdc.zoo import zoo_names, zoo_path, zoo_scores

RECOMPUTED = [
    ("acdc-small", "ioi"),
    ("acdc-tasks", "capitals"),
    ("acdc-questions", "colored-objects"),
    ("acdc-arithmetic", "arithmetic"),
]


@pytest.mark.parametrize(("model", "task"), RECOMPUTED)
def test_scores_are_what_the_models_reach(model: str, task: str) -> None:
    shipped = zoo_scores()
    again = measure(PatchableModel.from_pretrained(model), task, n=shipped["n"], seed=shipped["seed"])
    assert again is not None
    assert again == pytest.approx(shipped["scores"][model][task], abs=2.5 / shipped["n"])  # machines round differently


@pytest.mark.parametrize(
    ("model", "task"),
    [("acdc-tasks", "docstring"), ("acdc-tasks", "gendered-pronoun"), ("acdc-questions", "multiple-choice")],
)
def test_a_card_says_what_its_model_reaches(model: str, task: str) -> None:
    card = (zoo_path(model) / "README.md").read_text()
    printed = [float(cell) for cell in card.split(f"| {task} | ")[1].split(" |\n")[0].split(" | ")]
    again = measure(PatchableModel.from_pretrained(model), task, n=N_TEST, seed=TEST_SEED)
    assert printed == pytest.approx([again[key] for key in COLUMNS], abs=0.005)


def test_the_table_in_the_documentation_is_what_was_measured() -> None:
    assert table(zoo_scores()["scores"]) in (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()


def test_every_bundled_model_is_measured_on_every_task_it_can_read() -> None:
    scores = zoo_scores()["scores"]
    assert set(scores) == set(zoo_names())
    for name in zoo_names():
        model = PatchableModel.from_pretrained(name)
        for task in registered_tasks():
            assert (measure(model, task, n=2, seed=0) is None) == (task not in scores[name]), (name, task)


def test_default_models_do_their_tasks() -> None:
    """Right answers on both sides of the words; and not by the corrupted prompt."""
    scores = zoo_scores()["scores"]
    for name, kind in registered_tasks().items():
        if kind.default_model in scores:
            found = scores[kind.default_model][name]
            assert min(found["held_out"], found["discovery"], found["top1"]) >= 0.9, (name, found)
            assert found["corrupted"] <= 0.6, (name, found)


def listed(columns: int, *arguments: str) -> str:
    """What the program prints on a terminal of so many columns."""
    command = [sys.executable, "-m", "acdc", "tasks", *arguments]
    environment = os.environ | {"COLUMNS": str(columns)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("columns", [60, 80])
def test_the_list_of_tasks_fits_the_terminal(columns: int) -> None:
    text = listed(columns)
    assert max(map(len, text.splitlines())) <= columns
    for name, kind in registered_tasks().items():
        assert f"\n{name}: " in f"\n{text}"
        assert f"{name}: {kind.summary}" in " ".join(text.split())
        assert kind.default_model in text


def test_the_list_of_tasks_for_machines_has_everything() -> None:
    rows = {row["name"]: row for row in json.loads(listed(80, "--json"))}
    assert rows.keys() == registered_tasks().keys()
    scores = zoo_scores()
    for name, row in rows.items():
        assert (row["n"], row["seed"]) == (scores["n"], scores["seed"])
        assert row["bundled"] == {model: found[name] for model, found in scores["scores"].items() if name in found}
        assert row["default_model"] == load_task(name).default_model
