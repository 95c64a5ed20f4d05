"""Chat messages are written out by the tokenizer's template, once, and told where that can't be."""

from typing import Any

import pytest

from acdc.errors import TaskError
from acdc.prompts.batch import PromptBatch, PromptPair
from acdc.task import OnePrompt
from tests.prompts.test_batch import words

TEMPLATE = (
    "{{ '<bos>' }}{% for message in messages %}"
    "{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "{{ ' a ' if message['role'] == 'system' else ' b ' }}{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' <eos>' }}{% endif %}"
)
BOS, EOS, A, B, C, D = 0, 1, 3, 4, 5, 6


@pytest.fixture()
def tokenizer() -> Any:
    made = words("<bos>")  # puts a BOS token before a text by itself
    made.chat_template = TEMPLATE
    return made


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_messages_are_what_the_template_makes_of_them_with_one_bos_and_the_answer_s_start(tokenizer: Any) -> None:
    pair = PromptPair(user("c"), user("d"), ["a"], ["b"])
    for bos in (None, False):
        batch = PromptBatch.from_pairs([pair], tokenizer, bos=bos)
        assert batch.clean.tolist() == [[BOS, B, C, EOS]] and batch.corrupt.tolist() == [[BOS, B, D, EOS]]
    with pytest.raises(TaskError, match="would be put before it once more"):
        PromptBatch.from_pairs([pair], tokenizer, bos=True)


def test_a_text_and_its_template_written_out_are_the_same_prompt(tokenizer: Any) -> None:
    chat = OnePrompt("c", "d", ["a"], chat=True, system="d")
    assert chat.name == "c"
    by_hand = PromptPair("<bos> a d b c <eos>", "<bos> a d b d <eos>", ["a"])
    expected = PromptBatch.from_pairs([by_hand], tokenizer, bos=False)
    assert chat.batch(tokenizer, 1).fingerprint == expected.fingerprint


def test_spans_of_messages_are_found_in_what_the_template_makes(tokenizer: Any) -> None:
    pair = PromptPair(user("c"), user("d"), ["a"], spans={"word": 2})
    named = PromptBatch.from_pairs([pair], tokenizer).named
    assert named is not None and named.ids[0, 2] != named.ids[0, 1]


@pytest.mark.parametrize(
    ("clean", "message"),
    [
        ([{"role": "user"}], "clean: message 0's content must be text, not None"),
        ([{"role": 3, "content": "c"}], "message 0's role must be text, not 3"),
        ([{"role": "tool", "content": "c"}], "template refuses the messages: no tools here"),
        ([*user("c"), {"content": "d"}], "must be text, chat messages or a list of token ids"),
    ],
)
def test_messages_that_are_none_are_told(tokenizer: Any, clean: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        PromptBatch.from_pairs([PromptPair(clean, user("d"), ["a"])], tokenizer)


def test_a_tokenizer_without_a_template_and_a_system_message_without_a_chat_are_told() -> None:
    with pytest.raises(TaskError, match="need a chat template, and the tokenizer of '' has none"):
        OnePrompt("c", "d", ["a"], chat=True).batch(words("<bos>"), 1)
    with pytest.raises(TaskError, match="goes with chat messages only"):
        OnePrompt("c", "d", ["a"], system="d")


@pytest.mark.real
def test_a_real_chat_model_is_asked_as_its_own_template_asks() -> None:
    from acdc.models.loading import Origin, load_tokenizer
    from acdc.models.source import available_model

    tokenizer = load_tokenizer(Origin(available_model("smollm2", None).place(), None, False))
    texts = [f"What is the capital of {country}?" for country in ("France", "Spain")]
    batch = OnePrompt(*texts, ["Paris"], chat=True).batch(tokenizer, 1)
    for text, side in zip(texts, (batch.clean, batch.corrupt), strict=True):
        own = tokenizer.apply_chat_template(user(text), add_generation_prompt=True, return_dict=False)
        assert side[0].tolist() == list(own)
