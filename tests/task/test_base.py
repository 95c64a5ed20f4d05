"""Batches of a task: equal for equal seeds, as many as there are, and split where a task holds nothing out itself."""

import doctest
import random

import pytest

import acdc.task.base
import acdc.task.prompt_list
import acdc.task.words
from acdc.errors import TaskError, UnknownNameError
from acdc.prompts.batch import PromptPair
from acdc.task import PromptList, Task, load_task
from tests.tiny import NumberTokenizer


class Count(Task):
    name = "count"

    def __init__(self, step: int = 1) -> None:
        self.step = step

    def pairs(self, tokenizer, n: int, rng: random.Random) -> list[PromptPair]:
        starts = [rng.randrange(10) for _ in range(n)]
        return [PromptPair([i, i + self.step], [i, i + 5], [i + 2 * self.step]) for i in starts]


def test_equal_seeds_give_equal_batches() -> None:
    batches = [Count().batch(NumberTokenizer(), 20, seed) for seed in (1, 1, 2)]
    assert batches[0].fingerprint == batches[1].fingerprint != batches[2].fingerprint


@pytest.mark.parametrize("n", [0, -3])
def test_n_must_be_positive(n: int) -> None:
    with pytest.raises(TaskError, match="n must be a positive number"):
        Count().batch(NumberTokenizer(), n)


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


def test_a_choice_is_one_of_those_that_are_listed() -> None:
    assert Count().choice("order", "up", ("up", "down")) == "up"
    with pytest.raises(UnknownNameError, match=r"unknown count order 'dow': did you mean 'down'\? \(known: up, down\)"):
        Count().choice("order", "dow", ("up", "down"))


def test_words_that_must_be_single_tokens_are_asked_for() -> None:
    Count().require_single_tokens(NumberTokenizer(), ("1", "2"))
    with pytest.raises(TaskError, match=r"task 'count' needs '1 2' and 0 more words as single tokens.*'acdc-small'"):
        Count().require_single_tokens(NumberTokenizer(), ("1", "1 2"))


@pytest.mark.parametrize("module", [acdc.task.base, acdc.task.prompt_list, acdc.task.words])
def test_the_examples_of_the_docstrings_work_as_they_are_written(module) -> None:
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
