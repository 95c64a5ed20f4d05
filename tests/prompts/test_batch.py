"""What a batch checks, and how it lays prompts out."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tokenizers
import torch
import transformers

from acdc.errors import TaskError
from acdc.prompts.batch import PromptBatch, PromptPair, encode, single_token
from acdc.prompts.pairs import checked
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
    assert (batch.n, batch.n_pos) == (3, 4)
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
    batch = make(PromptPair("1 2 3", "1 4 3", ["6"], target=1), bos=True)
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
        PromptBatch.from_pairs([PromptPair("1 2", "1 3", ["6"])], without, bos=True)


def test_a_batch_can_be_moved() -> None:
    batch = make(PromptPair("1 2", "1 3", ["6"]))
    assert torch.equal(batch.to("cpu").clean, batch.clean)


IDS = PromptPair([1, 2], [1, 3], [6], [7])


def given(**fields: object) -> PromptPair:
    """A pair with these fields, whatever its annotations say."""
    pair = replace(IDS)
    for name, value in fields.items():
        object.__setattr__(pair, name, value)
    return pair


@pytest.mark.parametrize(
    "pair",
    [
        given(clean=(1.0, np.float32(2)), corrupt=range(1, 4, 2)),
        given(clean=torch.tensor([1, 2]), corrupt=np.array([1, 3])),
        given(clean=[np.int64(1), torch.tensor(2)], correct=np.array([6.0]), wrong=torch.tensor([7])),
        given(target=-1.0),
        given(target=np.int32(1)),
    ],
)
def test_whole_numbers_of_every_kind_are_read(pair: PromptPair) -> None:
    assert make(pair).fingerprint == make(IDS).fingerprint


BAD = [None, math.nan, math.inf, 1.5, True, {}, {"a": 1}, {1, 2}, object(), b"1 2", (i for i in [1]), 1j, "\ud800"]
MESSAGES = [{"role": "user", "content": "hello"}]
NESTED = [[{"role": "user", "content": 3}], [[[1, 2]]], np.ones((2, 2)), torch.ones(2, 2)]


@pytest.mark.parametrize("field", ["clean", "corrupt", "correct", "wrong", "target"])
@pytest.mark.parametrize("value", [*BAD, *([bad] for bad in BAD), *NESTED])
def test_a_field_of_the_wrong_kind_is_told_with_its_place(field: str, value: object) -> None:
    """Every field of a pair, every kind of value that it can't have: what came and what was expected."""
    with pytest.raises(TaskError) as told:
        make(IDS, given(**{field: value}))
    message = str(told.value)
    assert message.startswith("task 'toy', pair 1: ")
    assert field in message and ("must be" in message or "is not text" in message)
    assert len(message) < 300 and message.isprintable()


def test_common_mistakes_are_told_what_to_do() -> None:
    for clean, hint in (
        (MESSAGES, "messages need a chat template, and the tokenizer of 'numbers' has none"),
        (torch.ones(2, 3), r"of shape \(2, 3\).*a row of it"),
    ):
        with pytest.raises(TaskError, match=hint):
            make(given(clean=clean))
    with pytest.raises(TaskError, match=r"pair 0: expected a PromptPair, not \{'clean': 'a'\} \(dict\)"):
        checked({"clean": "a"}, "pair 0")


def words(*before: str, after: tuple[str, ...] = ()) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer of whole words that puts these tokens around a text; its attribute `add_bos_token` says no."""
    vocabulary = {word: i for i, word in enumerate(["<bos>", "<eos>", "<unk>", "a", "b", "c", "d"])}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "<unk>"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    template = " ".join([*before, "$A", *after])
    special = [(name, vocabulary[name]) for name in {*before, *after}]
    core.post_processor = tokenizers.processors.TemplateProcessing(single=template, special_tokens=special)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


TEXTS = PromptPair("a b", "c b", ["d"])


def rows(tokenizer, pair: PromptPair = TEXTS, **options) -> list[int]:
    return PromptBatch.from_pairs([pair], tokenizer, **options).clean[0].tolist()


def test_a_text_starts_as_the_tokenizer_itself_starts_it() -> None:
    plain, with_bos, with_both = words(), words("<bos>"), words("<bos>", after=("<eos>",))
    assert not getattr(with_bos, "add_bos_token", False), "the attribute says no"
    for tokenizer in (plain, with_bos):
        assert rows(tokenizer) == tokenizer("a b")["input_ids"]
    assert rows(with_both) == with_both("a b")["input_ids"][:-1], (
        "the model goes on after the prompt, not after its end"
    )
    assert rows(with_bos, bos=False) == rows(plain, bos=False) == rows(plain) == [3, 4]
    assert rows(plain, bos=True) == rows(with_bos, bos=True) == [0, 3, 4]


def test_what_stands_before_a_prompt_and_what_is_left_out_is_said() -> None:
    batch = PromptBatch.from_pairs([TEXTS], words("<bos>", after=("<eos>",)))
    assert batch.before == ("<bos>",)
    assert batch.notes == ("the tokenizer puts <eos> behind a text; it is left out, for the answer is predicted there",)
    assert PromptBatch.from_pairs([TEXTS], words("<bos>"), bos=False).before == ()


class Lossy(NumberTokenizer):
    """Makes something else of a text as soon as special tokens are wanted."""

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [0, 9]}


def test_a_tokenizer_whose_custom_can_t_be_told_must_be_told_what_to_do() -> None:
    pair = PromptPair("1 2", "1 3", ["6"])
    with pytest.raises(TaskError, match="say bos=True or bos=False"):
        rows(Lossy(), pair)
    assert (rows(Lossy(), pair, bos=True), rows(Lossy(), pair, bos=False)) == ([0, 1, 2], [1, 2])


def test_token_ids_are_used_as_they_are_given_unless_asked() -> None:
    tokenizer, ids = words("<bos>"), PromptPair([3, 4], [5, 4], [6])
    assert rows(tokenizer, ids) == rows(tokenizer, ids, bos=False) == [3, 4]
    assert rows(tokenizer, ids, bos=True) == rows(tokenizer, ids, bare_ids=True) == [0, 3, 4]
    assert rows(tokenizer, ids, bare_ids=True, bos=False) == [3, 4]
    assert rows(words(), ids, bare_ids=True) == [3, 4]


@pytest.mark.parametrize("options", [{}, {"bos": True}])
def test_a_doubled_bos_is_refused(options: dict[str, bool]) -> None:
    written = replace(TEXTS, clean="<bos> a b", corrupt="<bos> c b")
    with pytest.raises(TaskError, match=r"pair 0: the prompt starts with '<bos>'.*once more"):
        rows(words("<bos>"), written, **options)
    assert rows(words("<bos>"), written, bos=False) == [0, 3, 4]
    with pytest.raises(TaskError, match="once more"):
        rows(words(), PromptPair([0, 3], [0, 4], [5]), bos=True)


def test_an_answer_is_read_as_it_stands_after_a_prompt() -> None:
    """Some tokenizers put a space of their own before a text: alone, ' Mary' would be two tokens, and '33' ' 33'."""
    pieces = ["<unk>", "▁", "Mary", "▁Mary", "▁33", "3", "\n", "▁to"]
    core = tokenizers.Tokenizer(tokenizers.models.Unigram([(piece, -1.0) for piece in pieces], 0))
    normal = tokenizers.normalizers
    core.normalizer = normal.Sequence([normal.Prepend("▁"), normal.Replace(" ", "▁")])
    core.decoder = tokenizers.decoders.Metaspace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    assert encode(tokenizer, " Mary") == [1, 3] and encode(tokenizer, "33") == [4]
    assert single_token(tokenizer, " Mary") == 3 == encode(tokenizer, "to Mary")[-1]
    assert single_token(tokenizer, "33") is None, "after other text it is two tokens"
