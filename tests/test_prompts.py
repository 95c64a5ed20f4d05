"""What a batch checks, and how it lays prompts out."""

import pytest
import torch

from acdc.errors import TaskError
from acdc.prompts import PromptBatch, PromptPair
from tests.tiny import NumberTokenizer

TOKENIZER = NumberTokenizer()


def make(*pairs: PromptPair, **options) -> PromptBatch:
    return PromptBatch.from_pairs(pairs, TOKENIZER, task_name="toy", **options)


def test_the_target_is_the_last_column_of_every_row() -> None:
    batch = make(
        PromptPair("1 2 3 4", "1 2 5 4", ["6"], ["7", "8"]),
        PromptPair([9, 8], [9, 7], [6, 5]),
        PromptPair("1 2 3 4 5", "3 2 3 4 5", ["6"], target=1),
    )
    assert batch.clean.tolist() == [[1, 2, 3, 4], [0, 0, 9, 8], [0, 0, 1, 2]]
    assert batch.attention.long().tolist() == [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert batch.correct.tolist() == [[6, -1], [6, 5], [6, -1]]
    assert batch.wrong.tolist() == [[7, 8], [-1, -1], [-1, -1]]
    assert (batch.n, batch.n_pos, batch.first_difference) == (3, 4, 2)
    assert batch.lengths.tolist() == [4, 2, 2]


def test_a_selection_has_no_columns_of_padding_alone() -> None:
    batch = make(PromptPair("1 2 3 4", "1 2 5 4", ["6"]), PromptPair("9 8", "9 7", ["6"]))
    alone = batch.select([1])
    assert alone.clean.tolist() == [[9, 8]]
    assert alone.attention.all()


def test_equal_batches_have_equal_fingerprints() -> None:
    pair = PromptPair("1 2", "1 3", ["6"])
    assert make(pair).fingerprint == make(pair).fingerprint
    others = [PromptPair("1 2", "1 4", ["6"]), PromptPair("1 2", "1 3", ["7"]), PromptPair("1 2", "1 3", ["6"], ["7"])]
    assert len({make(pair).fingerprint, *(make(other).fingerprint for other in others)}) == 4


def test_bos_is_put_before_both_sides_and_targets_still_count_from_the_prompt() -> None:
    batch = make(PromptPair("1 2 3", "1 4 3", ["6"], target=1), prepend_bos=True)
    assert batch.clean.tolist() == [[0, 1, 2]]
    assert batch.corrupt.tolist() == [[0, 1, 4]]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            PromptPair("1 2 3", "1 2", ["6"]),
            r"same number of tokens; clean has 3 \('1 2 3'\), corrupted has 2 \('1 2'\)",
        ),
        (PromptPair("1 2", "1 2", ["6"]), "identical up to the target"),
        (PromptPair("1 2 3", "1 2 4", ["6"], target=1), "identical up to the target"),
        (PromptPair("1 2", "1 3", ["6 7"]), r"'6 7' is not a single token of this tokenizer \(it gives \['6', '7'\]\)"),
        (PromptPair("1 2", "1 3", []), "at least one correct answer"),
        (PromptPair("1 2", "1 3", ["6"], ["6"]), "both as correct and as wrong"),
        (PromptPair("1 2", "1 3", "6"), "answers must be a list"),
        (PromptPair("1 2", "1 3", ["6"], target=2), "target 2 is outside the prompt's 2 tokens"),
        (PromptPair("1 2", "1 3", ["6"], target=-3), "target -3 is outside"),
        (PromptPair([1, 99], [1, 3], ["6"]), "token id 99 is outside the tokenizer's 0 to 49"),
        (PromptPair("1 2", "1 3", [77]), "token id 77 is outside"),
        (PromptPair("", "", ["6"]), "a prompt is empty"),
    ],
)
def test_wrong_pairs_are_told_with_their_place(pair: PromptPair, message: str) -> None:
    with pytest.raises(TaskError, match=message) as told:
        make(PromptPair("1 2", "1 3", ["6"]), pair)
    assert "task 'toy', pair 1" in str(told.value)


def test_no_pairs_and_no_bos_are_told() -> None:
    with pytest.raises(TaskError, match="gave no prompt pairs"):
        make()
    without = NumberTokenizer()
    without.bos_token_id = None
    with pytest.raises(TaskError, match="the tokenizer has no BOS token"):
        PromptBatch.from_pairs([PromptPair("1 2", "1 3", ["6"])], without, prepend_bos=True)


def test_a_batch_can_be_moved() -> None:
    batch = make(PromptPair("1 2", "1 3", ["6"]))
    assert torch.equal(batch.to("cpu").clean, batch.clean)
