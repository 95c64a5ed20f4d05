"""Finding tasks by name, in modules and in files, and what is told when one is wrong."""

from importlib.metadata import EntryPoint, entry_points

import pytest

from acdc.errors import EndRequested, TaskError, UnknownNameError
from acdc.task import load_task, registered_tasks
from tests.task.test_base import Count
from tests.tiny import NumberTokenizer

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
    assert load_task("tests.task.test_base:Count").name == "count"
    assert load_task(f"{path}:Mine").batch(NumberTokenizer(), 2).n == 2


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        ("raise ValueError('no luck')", "Mine", r"failed: ValueError: no luck \(.*my_task.py, line 1\)"),
        ("def broken(:", "Mine", r"failed: SyntaxError: .*line 1"),
        ("import no_such_module_at_all", "Mine", "failed: ModuleNotFoundError"),
        ("Mine = 3", "Mine", "is not a task: expected a subclass of acdc.Task"),
        ("from acdc import Task\nclass Mine(Task):\n    name = 'x'", "Mine", "has no method `pairs`"),
        ("from acdc import WordTask\nclass Mine(WordTask):\n    name = 'x'", "Mine", "has no method `draw`"),
        (FILE.replace('name = "mine"', "pass"), "Mine", "has no `name`"),
        (FILE, "Other", "unknown task class in .* 'Other'.*known: Mine"),
        (
            FILE.replace("return", "raise KeyError('x') #"),
            "Mine",
            r"failed to make its pairs: KeyError: 'x' \(.*line 7\)",
        ),
        (FILE.replace("return [", "return ['x'] #"), "Mine", "pair 0: expected a PromptPair, not 'x'"),
        (FILE.replace("return [", "return None #"), "Mine", r"must give a list of PromptPair, not None \(NoneType\)"),
        (FILE.replace("return [", "return [] #"), "Mine", "gave no prompt pairs"),
        (FILE.replace("* n", "* int"), "Mine", r"TypeError: .* \(.*my_task.py, line 7\)"),
        (FILE.replace("return [", "return tokenizer.decode(3) #"), "Mine", r"TypeError: .*my_task.py, line 7\)"),
        (FILE.replace("return [", "return rng.sample(range(n), n + 1) #"), "Mine", r"ValueError: .*my_task.py, line 7"),
        (
            FILE.replace("return [", "import sys; sys.exit(0) #"),
            "Mine",
            r"it calls sys.exit\(0\) \(.*my_task.py, line 7",
        ),
        ("raise GeneratorExit('no')", "Mine", r"failed: GeneratorExit: no \(.*my_task.py, line 1\)"),
        ("raise SystemExit('bye')", "Mine", r"failed: it calls sys.exit\('bye'\) \(.*my_task.py, line 1\)"),
        (FILE.replace('"mine"', "['mine']"), "Mine", r"its `name` must be text, not \['mine'\]"),
        (FILE + "    prepend_bos = 'yes'", "Mine", "its `prepend_bos` must be True, False or None, not 'yes'"),
        (FILE + "    def __init__(self): exit()", "Mine", r"could not be made: it calls sys.exit\(None\)"),
        (FILE + "    metric = property(lambda self: 1 / 0)", "Mine", r"ZeroDivisionError: .*my_task.py, line 8\)"),
        (FILE + "    def __init__(self, size): pass", "Mine", r"missing 1 required .*'size' \(\S*my_task.py\)"),
        (
            "import acdc\nclass Bare(acdc.PromptPair):\n    def __init__(self): pass\n"
            + FILE.replace("return [", "return [Bare()] #"),
            "Mine",
            r"failed to make its pairs: AttributeError: .*'clean' \(\S*my_task.py\)",
        ),
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
    monkeypatch.setattr("acdc.task.loading.entry_points", lambda group: points)
    found = registered_tasks()
    assert "ioi" in found and "broken" not in found
    assert "task 'broken' (no.such.module:Mine) can't be imported" in caplog.text


def test_a_keyboard_interrupt_of_a_task_stops_the_program(tmp_path) -> None:
    path = tmp_path / "my_task.py"
    path.write_text(FILE.replace("return [", "raise KeyboardInterrupt #"))
    with pytest.raises(KeyboardInterrupt):
        load_task(f"{path}:Mine").batch(NumberTokenizer(), 2)


def test_a_request_to_end_is_not_taken_for_an_exit_of_the_task() -> None:
    class Slow(Count):
        def pairs(self, tokenizer, n, rng):
            raise EndRequested(143)  # what the signal's handler raises wherever the program is

    with pytest.raises(EndRequested):
        Slow().batch(NumberTokenizer(), 2)


def test_what_a_task_prints_stays_off_standard_output(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my_task.py"
    noisy = FILE.replace("return [", "print('pairs'); return [")
    path.write_text("print('import')\n" + noisy + "    def __init__(self): print('made')\n")
    load_task(f"{path}:Mine").batch(NumberTokenizer(), 2)
    out, told = capsys.readouterr()
    assert out == ""
    assert set(told.split()) == {"import", "made", "pairs"}
