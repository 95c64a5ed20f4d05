"""One pair of prompts as a task."""

import pytest

from acdc.errors import TaskError
from acdc.models import PatchableModel
from acdc.prompts.answers import doubtful_answers
from acdc.task import OnePrompt
from tests.tiny import NumberTokenizer

FRANCE, SPAIN = "The capital of France is", "The capital of Spain is"


@pytest.fixture(scope="module")
def tokenizer():
    return PatchableModel.from_pretrained("acdc-tasks").tokenizer


def test_it_is_a_batch_of_one_pair_and_says_that_none_is_held_out(tokenizer) -> None:
    task = OnePrompt(FRANCE, SPAIN, [" Paris"], [" Madrid"])
    batch = task.batch(tokenizer, 50)
    assert batch.n == 1 and task.name == "the-capital-of-france-is"
    assert batch.fingerprint == task.batch(tokenizer, 7, 3, held_out=True).fingerprint
    assert any("none is held out" in note for note in batch.notes)


def test_a_long_prompt_gives_a_short_name_and_one_without_words_gives_one_too() -> None:
    assert OnePrompt("word " * 100 + "last", "x", ["a"]).name.endswith("-word-last")
    assert len(OnePrompt("word " * 100, "x", ["a"]).name) <= 40
    assert OnePrompt([1, 2], [1, 3], [4]).name == OnePrompt("!?", "?!", ["a"]).name == "one-prompt"


def test_an_answer_that_lacks_its_space_is_asked_about(tokenizer) -> None:
    with pytest.raises(TaskError, match="did you mean ' Paris', with the space before it"):
        OnePrompt(FRANCE, SPAIN, ["Paris"]).batch(tokenizer, 1)
    with pytest.raises(TaskError, match="use a word that is one token"):
        OnePrompt(FRANCE, SPAIN, ["Pariss"]).batch(tokenizer, 1)


class Glued(NumberTokenizer):
    """Words are one token with and without a space before them."""

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [len(word) for word in text.replace(":", ": ").split()]

    def decode(self, ids: list[int]) -> str:
        return {5: "Paris", 4: "Rome"}.get(ids[0], "?") if len(ids) == 1 else super().decode(ids)


def test_an_answer_that_is_one_token_without_its_space_is_asked_about_too() -> None:
    assert doubtful_answers("The capital is", ["Paris", " Rome", 3], Glued()) == ["Paris"]
    assert doubtful_answers("The capital is ", ["Paris"], Glued()) == []
    assert doubtful_answers("17", ["33"], Glued()) == []


def test_equal_prompts_are_refused(tokenizer) -> None:
    with pytest.raises(TaskError, match="identical up to the target"):
        OnePrompt(FRANCE, FRANCE, [" Paris"]).batch(tokenizer, 1)
