"""Which words a tokenizer can write, which are held out, and tasks that are made of them."""

import random

import pytest

from acdc.errors import TaskError
from acdc.prompts.batch import PromptPair
from acdc.task import Words, WordTask, single_tokens, spellable, split_words
from tests.tasks.test_builtin import tokenizer_of
from tests.tiny import NumberTokenizer


def test_split_words_gives_every_word_to_one_side() -> None:
    for n, every in [(4, 4), (11, 4), (9, 2), (30, 3)]:
        discovery, held_out = (split_words(range(n), held_out=side, every=every) for side in (False, True))
        assert sorted(discovery + held_out) == list(range(n))
        assert len(held_out) == n // every
    assert split_words([], held_out=True) == []
    with pytest.raises(TaskError, match="every 4th is held out, and there are only 2: 'a', 'b'"):
        split_words(["a", "b"], held_out=True)


def test_a_tokenizer_of_whole_words_spells_only_what_it_knows() -> None:
    tokenizer = tokenizer_of("acdc-small")
    assert spellable(tokenizer, ["Mary", "Nobody", "store"]) == ["Mary", "store"]
    assert spellable(tokenizer, ["After {first} and {second}", "After {first} xor {second}"]) == [
        "After {first} and {second}"
    ]
    with pytest.raises(TaskError, match="acdc-small' lacks words of each of 'Nobody', 'xor'"):
        spellable(tokenizer, ["Nobody", "xor"])
    assert single_tokens(tokenizer, ["Mary", "next to", "Nobody"]) == ["Mary"]
    assert single_tokens(tokenizer, [("key", "keys"), ("key", "Nobody")]) == [("key", "keys")]


def test_words_are_of_one_side_and_enough() -> None:
    numbers = [str(i) for i in range(8)]
    discovery, held_out = (Words(NumberTokenizer(), side, "sums") for side in (False, True))
    assert discovery.single_tokens(numbers, "numbers", least=6) == ["0", "1", "2", "4", "5", "6"]
    assert held_out.spellable(numbers, every=2) == held_out.split(numbers, every=2) == ["1", "3", "5", "7"]
    with pytest.raises(
        TaskError, match=r"'sums' needs numbers that are single tokens .* at least 3; .* has 2 that are"
    ):
        held_out.single_tokens(numbers, "numbers", least=3)
    with pytest.raises(TaskError, match=r"'sums' needs letters, at least 1; the tokenizer of 'numbers' has 0$"):
        discovery.need([], "letters")


class Steps(WordTask):
    """One step from a number."""

    name = "steps"

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        numbers = words.split(range(20))
        drawn = [rng.sample(numbers, 2) for _ in range(n)]
        return [PromptPair([one, 30], [other, 30], [one + 1], [other + 1]) for one, other in drawn]


def test_the_sides_of_a_word_task_share_no_word() -> None:
    sides = [Steps().batch(NumberTokenizer(), 200, held_out=side).clean[:, 0] for side in (False, True)]
    held_out = {3, 7, 11, 15, 19}
    assert [set(side.tolist()) for side in sides] == [set(range(20)) - held_out, held_out]
