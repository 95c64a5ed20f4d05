"""What `acdc-tasks` is trained on: words that it knows, and none of the prompts that are held out."""

import random
import re

import pytest
from lessons import TASKS, Curriculum, vocabulary
from train_acdc_tasks import N_POSITIONS, wrapped
from word_tokenizer import build_tokenizer

from acdc.task import load_task
from tests.tasks.test_builtin import tokenizer_of
from tests.tasks.test_held_out import TEMPLATES, pattern_of, template_of, texts

N = 400


@pytest.fixture(scope="module")
def tokenizer():
    return wrapped(build_tokenizer(vocabulary()))


def test_the_shipped_tokenizer_is_that_of_the_script(tokenizer) -> None:
    assert tokenizer_of("acdc-tasks").get_vocab() == tokenizer.get_vocab()


def test_no_held_out_prompt_and_no_held_out_template_is_trained_on(tokenizer) -> None:
    curriculum = Curriculum(tokenizer, random.Random(0))
    drawn = [sentence for group in curriculum.draw(random.Random(1), 2 * N) for sentence in group]
    seen = [tokenizer.decode(sentence.ids) for sentence in drawn]
    assert all(tokenizer.unk_token_id not in sentence.ids and len(sentence.ids) <= N_POSITIONS for sentence in drawn)
    for name in TASKS:
        held_out = texts(load_task(name).held_out_pairs(tokenizer, N, random.Random(2)))
        assert not any(text.startswith(prompt) for prompt in set(held_out) for text in seen)
        for template in {template_of(prompt, TEMPLATES[name]) for prompt in held_out} if name in TEMPLATES else ():
            assert not any(re.match(pattern_of(template), text) for text in seen), template


def test_answers_are_where_the_sentences_say(tokenizer) -> None:
    for name in TASKS:
        stream = Curriculum(tokenizer, random.Random(0)).streams[name]
        for _ in range(20):
            sentence = next(stream)
            assert sentence.answers[-1] == len(sentence.ids) - 1
            if name == "docstring":
                assert len(sentence.answers) == 3
