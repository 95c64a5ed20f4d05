"""Loading tasks, and what is told when one is wrong."""

import random
from importlib.metadata import EntryPoint, entry_points

import pytest

from acdc.errors import TaskError, UnknownNameError
from acdc.prompts import PromptPair
from acdc.task import Task, load_task, registered_tasks
from tests.tiny import NumberTokenizer


class Count(Task):
    name = "count"

    def __init__(self, step: int = 1) -> None:
        self.step = step

    def pairs(self, tokenizer, n: int, rng: random.Random) -> list[PromptPair]:
        starts = [rng.randrange(10) for _ in range(n)]
        return [PromptPair([i, i + self.step], [i, i + 5], [i + 2 * self.step]) for i in starts]


FILE = """
from acdc import PromptPair, Task

class Mine(Task):
    name = "mine"
    def pairs(self, tokenizer, n, rng):
        return [PromptPair("1 2", "1 3", ["4"])] * n
"""


def test_a_task_is_loaded_from_a_class_an_instance_a_module_and_a_file(tmp_path) -> None:
    path = tmp_path / "my_task.py"
    path.write_text(FILE)
    assert load_task(Count).step == 1
    assert load_task(Count, step=2).step == 2
    task = Count(3)
    assert load_task(task) is task
    assert load_task("tests.test_task:Count").name == "count"
    assert load_task(f"{path}:Mine").batch(NumberTokenizer(), 2).n == 2


def test_equal_seeds_give_equal_batches() -> None:
    batches = [Count().batch(NumberTokenizer(), 20, seed) for seed in (1, 1, 2)]
    assert batches[0].fingerprint == batches[1].fingerprint != batches[2].fingerprint


@pytest.mark.parametrize("n", [0, -3])
def test_n_must_be_positive(n: int) -> None:
    with pytest.raises(TaskError, match="n must be a positive number"):
        Count().batch(NumberTokenizer(), n)


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        ("raise ValueError('no luck')", "Mine", r"failed: ValueError: no luck \(.*my_task.py, line 1\)"),
        ("def broken(:", "Mine", r"failed: SyntaxError: .*line 1"),
        ("import no_such_module_at_all", "Mine", "failed: ModuleNotFoundError"),
        ("Mine = 3", "Mine", "is no task: expected a subclass of acdc.Task"),
        ("from acdc import Task\nclass Mine(Task):\n    name = 'x'", "Mine", "has no method `pairs`"),
        (FILE.replace('name = "mine"', "pass"), "Mine", "has no `name`"),
        (FILE, "Other", "unknown task class in .* 'Other'.*known: Mine"),
        (
            FILE.replace("return", "raise KeyError('x') #"),
            "Mine",
            r"failed to make its pairs: KeyError: 'x' \(.*line 7\)",
        ),
        (FILE.replace("* n", ""), "Mine", "gave 1 pairs where 2 were asked for"),
        (FILE.replace("return [", "return ['x'] #"), "Mine", "gave 1 pairs"),
    ],
)
def test_wrong_task_files_are_told(tmp_path, text: str, spec: str, message: str) -> None:
    path = tmp_path / "my_task.py"
    path.write_text(text)
    with pytest.raises((TaskError, UnknownNameError), match=message):
        load_task(f"{path}:{spec}").batch(NumberTokenizer(), 2)


def test_wrong_names_and_options_are_told(tmp_path) -> None:
    with pytest.raises(UnknownNameError, match="unknown task 'nonsense'"):
        load_task("nonsense")
    with pytest.raises(TaskError, match="there is no task file"):
        load_task(f"{tmp_path}/none.py:Mine")
    with pytest.raises(TaskError, match="say which class in it is the task"):
        load_task("my_task.py")
    with pytest.raises(TaskError, match="can't be imported"):
        load_task("no.such.module:Mine")
    with pytest.raises(UnknownNameError, match="did you mean 'step'"):
        load_task(Count, steps=2)
    with pytest.raises(TaskError, match="already made"):
        load_task(Count(), step=2)


def test_a_broken_package_s_task_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = EntryPoint("broken", "no.such.module:Mine", "acdc.tasks")
    points = [broken, *entry_points(group="acdc.tasks")]
    monkeypatch.setattr("acdc.task.entry_points", lambda group: points)
    found = registered_tasks()
    assert "ioi" in found and "broken" not in found
    assert "task 'broken' (no.such.module:Mine) can't be imported" in caplog.text
