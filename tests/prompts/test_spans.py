"""Spans: where a task's names for parts of a prompt come to lie."""

from pathlib import Path

import pytest
import tokenizers
import torch
import transformers

from acdc.errors import TaskError
from acdc.prompts.batch import PromptBatch, PromptPair
from acdc.prompts.pairs import checked
from tests.tiny import NumberTokenizer

ZOO = Path(__file__).parents[2] / "acdc" / "zoo"
CLEAN = "When Mary and John went to the store, John gave a drink to"
CORRUPT = "When Mark and Paul went to the store, Lisa gave a drink to"
GPT2 = Path(__file__).parents[3] / "shared" / "models" / "gpt2-tokenizer"


@pytest.fixture(scope="module")
def words() -> transformers.PreTrainedTokenizerFast:
    """The tokenizer of acdc-small: a token is a word."""
    return transformers.AutoTokenizer.from_pretrained(ZOO / "acdc-small")


def named(spans: object, tokenizer: object, **fields: object) -> tuple[tuple[str, ...], list[str]]:
    """The names of the spans, and the one of each token."""
    pair = PromptPair(**{"clean": CLEAN, "corrupt": CORRUPT, "correct": [" Mary"], **fields})  # type: ignore[arg-type]
    object.__setattr__(pair, "spans", spans)  # whatever its annotation says
    batch = PromptBatch.from_pairs([pair], tokenizer, task_name="toy")
    assert batch.named is not None
    return batch.named.names, [batch.named.names[i] for i in batch.named.ids[0].tolist()]


PARTS = ["prefix", "IO", "rest", "S1", "S1+1", "rest", "rest", "rest", "rest", "S2", "rest", "rest", "rest", "end"]


@pytest.mark.parametrize(
    "spans",
    [
        {"IO": (1, 2), "S1": 3, "S1+1": range(4, 5), "S2": (9, -4)},
        {"IO": "Mary", "S1": ("John", 1), "S1+1": " went", "S2": ("John", 2)},
        {"IO": ("Mary", "Mark"), "S1": (("John", 1), "Paul"), "S1+1": [(4, 5)], "S2": (("John", 2), "Lisa")},
        {"IO": [torch.tensor(1)], "S1": 3.0, "S1+1": ["went"], "S2": torch.tensor([9])},
        {"IO": 1, "S1": 3, "S1+1": 4, "S2": 9, "end": -1, "rest": [2, (5, 9), (10, 13)], "prefix": 0},
    ],
)
def test_spans_are_named_by_tokens_or_by_text(words: object, spans: dict) -> None:
    assert named(spans, words) == (("prefix", "rest", "IO", "S1", "S1+1", "S2", "end"), PARTS)


def test_the_span_of_the_target_comes_last() -> None:
    names, of_tokens = named(
        {"to": (3, None), "a": 1}, NumberTokenizer(), clean="1 2 3 4 5", corrupt="1 2 3 4 6", correct=["7"]
    )
    assert names == ("prefix", "rest", "a", "to")
    assert of_tokens == ["prefix", "a", "rest", "to", "to"]


def test_spans_count_in_the_prompts_own_tokens() -> None:
    pair = PromptPair("1 2 3", "1 2 4", ["6"], spans={"a": 1})
    batch = PromptBatch.from_pairs([pair], NumberTokenizer(), bos=True)
    assert batch.named is not None
    assert [batch.named.names[i] for i in batch.named.ids[0].tolist()] == ["prefix", "prefix", "a", "end"]


def test_pairs_of_several_lengths_have_the_same_spans_and_keep_them_in_a_selection() -> None:
    pairs = [
        PromptPair("1 2 3 4 5", "1 9 3 4 5", ["6"], spans={"b": 3, "a": 1}),
        PromptPair("2 3 4", "8 3 4", ["6"], spans={"a": 0, "b": 1}),
    ]
    batch = PromptBatch.from_pairs(pairs, NumberTokenizer())
    assert batch.named is not None
    assert batch.named.names == ("prefix", "rest", "b", "a", "end")
    assert batch.named.ids.tolist() == [[0, 3, 1, 2, 4], [0, 0, 3, 2, 4]]
    alone = batch.select([1]).to("cpu").named
    assert alone is not None
    assert (alone.names, alone.ids.tolist()) == (batch.named.names, [[3, 2, 4]])


def test_names_change_neither_the_prompts_nor_their_fingerprint(words: object) -> None:
    plain, told = (
        PromptBatch.from_pairs([PromptPair(CLEAN, CORRUPT, [" Mary"], spans=spans)], words) for spans in ({}, {"a": 1})
    )
    assert plain.named is None
    assert torch.equal(plain.clean, told.clean)
    assert plain.fingerprint == told.fingerprint


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        (
            {"S1": "John"},
            r"'John' occurs 2 times in the clean .*, at token 3 and token 9; say which, like \('John', 1\)",
        ),
        ({"S1": ("John", 3)}, "'John' occurs only 2 times in the clean prompt"),
        ({"a": "Bob"}, "'Bob' does not occur in the clean prompt"),
        ({"a": ("John", 1), "b": ("Mary", "Bob")}, "span 'b': 'Bob' does not occur in the corrupted prompt"),
        ({"a": "Joh"}, "'Joh' is only part of ' John' in the clean prompt"),
        (
            {"a": ("Mary", "Paul")},
            "'Mary' is token 1 of the clean .* and 'Paul' is token 3 of the corrupted prompt",
        ),
        ({"a": (1, 4), "b": 2}, "spans 'a' and 'b' both have token 2; a token is in one span"),
        ({"a": (3, 99)}, r"the range \(3, 99\) is outside of the prompt's 14 tokens"),
        ({"a": 14}, "token 14 is outside"),
        ({"a": -15}, "token -15 is outside"),
        ({"a": (3, 3)}, r"the range \(3, 3\) is empty: expected \(first, last \+ 1\)"),
        ({"a": []}, "span 'a' is empty"),
        ({"a": " "}, "the text ' ' has no characters"),
        ({"a": ("John", 0)}, "counted from 1, not 0"),
        ({"a": 1.5}, "span 'a': expected a token's position, .* not 1.5"),
        ({"a": True}, "expected a token's position"),
        ({"a": ("John", "Mary", 2)}, "expected a token's position"),
        ({"a b": 1}, "'a b' can't name a span"),
        ({"x->y": 1}, "can't name a span"),
        ({"a@": 1}, "can't name a span"),
        ({"": 1}, "can't name a span"),
        ({"7": 1}, "'7' can't name a span: .* not a number alone"),
        ({3: 1}, "a span's name must be text, not 3"),
        (["a"], "spans must be a mapping"),
    ],
)
def test_wrong_spans_are_told_with_their_place(words: object, spans: object, message: str) -> None:
    with pytest.raises(TaskError, match=message) as told:
        named(spans, words)
    assert "task 'toy', pair 0" in str(told.value)


def test_a_span_behind_the_target_is_told(words: object) -> None:
    with pytest.raises(TaskError, match="token 9 stands behind the target, token 3"):
        named({"a": 9}, words, target=3)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"a": 1, "c": 2}, "pair 1 names the spans a, c, pair 0 the spans a, b"),
        ({}, "pair 1 names no spans"),
        ({"a": 1, "b": (2, None)}, "the target is in span 'end' of pair 0 and in span 'b' of pair 1"),
    ],
)
def test_every_pair_names_the_same_spans(others: dict, message: str) -> None:
    pairs = [PromptPair([1, 2, 3, 4], [1, 2, 9, 4], [5], spans=spans) for spans in ({"a": 1, "b": 2}, others)]
    with pytest.raises(TaskError, match=message):
        PromptBatch.from_pairs(pairs, NumberTokenizer())


def test_checking_a_checked_pair_changes_nothing() -> None:
    pair = checked(PromptPair([1, 2], [1, 3], [5], spans={"a": ("x", 2), "b": [0, ("y", "z")], "c": (1, None)}), "here")
    assert checked(pair, "here") == pair


def byte_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Every byte is a token, so that one letter may be several tokens."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE({sign: i for i, sign in enumerate(alphabet)}, [])
    core = tokenizers.Tokenizer(model)
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core)


def test_a_letter_of_several_tokens_is_found() -> None:
    _, of_tokens = named({"a": "é"}, byte_tokenizer(), clean="né!", corrupt="nè!", correct=["a"])
    assert of_tokens == ["prefix", "a", "a", "end"]


class Forgetful(NumberTokenizer):
    """Its tokens' texts, one after the other, are not the prompt."""

    def decode(self, ids: list[int]) -> str:
        return "?"


def test_a_tokenizer_that_does_not_give_the_text_back_is_told() -> None:
    with pytest.raises(TaskError, match=r"span 'a': it can't be told where .* name the span by token positions"):
        named({"a": "2"}, Forgetful(), clean="1 2 3", corrupt="1 4 3", correct=[6])


@pytest.mark.skipif(not GPT2.is_dir(), reason="no copy of GPT-2's tokenizer beside the repository")
def test_a_real_tokenizer_gives_words_of_several_tokens() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(GPT2)
    _, of_tokens = named(
        {"country": ("Uzbekistan", "Botswana"), "relation": "capital of"},
        tokenizer,
        clean="The capital of Uzbekistan is",
        corrupt="The capital of Botswana is",
        correct=[" Paris"],
    )
    assert of_tokens == ["prefix", "relation", "relation", "country", "country", "end"]
