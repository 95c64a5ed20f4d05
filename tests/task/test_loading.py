"""Loading tasks, and what is told when one is wrong."""

import random
from importlib.metadata import EntryPoint, entry_points

import pytest

from acdc.errors import EndRequested, TaskError, UnknownNameError
from acdc.prompts.batch import PromptPair
from acdc.task import PromptList, Task, load_task, registered_tasks
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
    assert load_task("tests.task.test_loading:Count").name == "count"
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
    monkeypatch.setattr("acdc.task.base.entry_points", lambda group: points)
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


def test_endless_pairs_are_read_no_further_than_asked() -> None:
    read = []

    class Endless(Count):
        def pairs(self, tokenizer, n: int, rng: random.Random):
            while True:
                read.append(1)
                yield from super().pairs(tokenizer, 1, rng)

    assert Endless().batch(NumberTokenizer(), 7).n == 7
    assert len(read) == 7


@pytest.mark.parametrize("n", [1_000_001, 10**9])
def test_giant_numbers_of_pairs_are_refused_with_the_bound(n: int) -> None:
    with pytest.raises(TaskError, match=f"n must be at most 1,000,000 prompt pairs, not {n:,}"):
        Count().batch(NumberTokenizer(), n)


ALL = [PromptPair([i, 40], [i + 20, 40], [41]) for i in range(12)]


class Ordered(Task):
    """The same list, whatever is asked for."""

    name = "finite"

    def pairs(self, tokenizer, n: int, rng: random.Random):
        return ALL


class Cut(Ordered):
    """The start of the list."""

    def pairs(self, tokenizer, n: int, rng: random.Random):
        return ALL[:n]


class Shuffled(Ordered):
    """The list in any order."""

    def pairs(self, tokenizer, n: int, rng: random.Random):
        return rng.sample(ALL, min(n, 12))


def starts(batch) -> set[int]:
    return set(batch.clean[:, 0].tolist())


@pytest.mark.parametrize("task", [Ordered(), Cut(), Shuffled(), PromptList(ALL), load_task(ALL)])
def test_a_finite_task_is_split_into_discovery_and_held_out(task: Task) -> None:
    discovery, held_out = (task.batch(NumberTokenizer(), 50, 3, held_out=side) for side in (False, True))
    assert (discovery.n, held_out.n) == (9, 3)
    assert starts(discovery) | starts(held_out) == set(range(12))
    assert discovery.notes[0].endswith("gave 12 pairs where 50 were asked for; 9 of them, not held out, are used")
    assert held_out.notes[0].endswith("3 of them, held out, are used")
    assert starts(task.batch(NumberTokenizer(), 20, 8, held_out=True)) == starts(held_out), "whatever n and seed"


@pytest.mark.parametrize("task", [Ordered(), Cut(), PromptList(ALL)])
def test_as_many_of_a_finite_task_as_are_asked_for(task: Task) -> None:
    discovery = task.batch(NumberTokenizer(), 8)
    assert discovery.n == 8 and discovery.notes == ()
    assert not starts(discovery) & starts(task.batch(NumberTokenizer(), 100, held_out=True))


def test_a_task_that_can_give_no_more_than_asked_is_asked_no_further() -> None:
    class Strict(Ordered):
        def pairs(self, tokenizer, n: int, rng: random.Random):
            if n > 12:
                raise ValueError("only twelve")
            return ALL[:n]

    sides = [Strict().batch(NumberTokenizer(), 12, held_out=side) for side in (False, True)]
    assert [side.n for side in sides] == [9, 3] and not starts(sides[0]) & starts(sides[1])
    with pytest.raises(TaskError, match="only twelve"):
        Strict().batch(NumberTokenizer(), 13)


def test_a_shuffled_list_that_is_given_whole_is_split() -> None:
    class Whole(Ordered):
        def pairs(self, tokenizer, n: int, rng: random.Random):
            return rng.sample(ALL, 12)

    sides = [
        starts(Whole().batch(NumberTokenizer(), 8, seed, held_out=side)) for seed in (1, 2) for side in (False, True)
    ]
    assert not (sides[0] | sides[2]) & (sides[1] | sides[3])


def test_random_pairs_that_fall_short_are_all_used() -> None:
    class Short(Count):
        def pairs(self, tokenizer, n: int, rng: random.Random):
            return [PromptPair([rng.randrange(40), 1, 2], [rng.randrange(40), 3, 4], [5]) for _ in range(n - 2)]

    batch = Short().batch(NumberTokenizer(), 10)
    assert batch.n == 8
    assert batch.notes == ("task 'count' gave 8 pairs where 10 were asked for; these are used",)


def test_too_few_pairs_to_split_are_used_on_both_sides() -> None:
    for side in (False, True):
        batch = PromptList(ALL[:3]).batch(NumberTokenizer(), 50, held_out=side)
        assert starts(batch) == {0, 1, 2}
        assert "none is held out of so few" in batch.notes[0]


def test_a_list_of_pairs_is_a_task_with_a_name_and_held_out_pairs_of_its_own() -> None:
    task = load_task(ALL[:6], name="mine", held_out=ALL[6:], metric="logit_diff")
    assert (task.name, task.metric) == ("mine", "logit_diff")
    assert starts(task.batch(NumberTokenizer(), 6)) == set(range(6))
    assert starts(task.batch(NumberTokenizer(), 6, held_out=True)) == set(range(6, 12))
    with pytest.raises(TaskError, match="is empty"):
        load_task([])
    with pytest.raises(UnknownNameError, match="did you mean 'name'"):
        load_task(ALL, nam="x")
