"""What `acdc-tasks` is trained on: words that it knows, and none of the prompts that are held out."""

import random
import re

import pytest
from lessons import TASKS, Curriculum, vocabulary
from questions import SHARES, STARTS, Questions
from questions import TASKS as ASKED
from train_acdc_arithmetic import SHARES as SUMS
from train_acdc_arithmetic import WORDS
from train_acdc_arithmetic import drawn as drawn_problems
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


@pytest.fixture(scope="module")
def drawn() -> list[tuple[str, list[str]]]:
    """Sequences of every stage of `acdc-questions`: the text, and the answers in it."""
    tokenizer, rng = tokenizer_of("acdc-questions"), random.Random(0)
    questions, found = Questions(tokenizer), []
    for step in (0, *STARTS):
        for sentence in (s for group in questions.draw(rng, step, 2 * N) for s in group):
            assert tokenizer.unk_token_id not in sentence.ids and len(sentence.ids) <= N_POSITIONS
            answers = [tokenizer.decode(sentence.ids[i]) for i in sentence.answers]
            found.append((tokenizer.decode(sentence.ids), answers))
    return found


def test_questions_share_no_prompt_and_no_template_with_held_out_ones(drawn) -> None:
    tokenizer = tokenizer_of("acdc-questions")
    for name in ASKED:
        held_out = texts(load_task(name).held_out_pairs(tokenizer, N, random.Random(2)))
        assert not any(text.startswith(prompt) for prompt in set(held_out) for text, _ in drawn)
        for template in {template_of(prompt, TEMPLATES[name]) for prompt in held_out}:
            assert not any(re.match(pattern_of(template), text) for text, _ in drawn), template


def test_questions_have_the_right_answers(drawn) -> None:
    scenes = choices = 0
    for text, answers in drawn:
        if text.startswith("Q:"):
            scenes += 1
            asked = re.search(r"color is the (\w+)\?", text).group(1)
            assert re.search(rf" a (\w+) {asked}[,.]", text).group(1) == answers[0].strip()
        elif text.endswith(f"Answer:{answers[-1]}"):
            choices += 1
            color = re.search(r" is (\w+)\. What", text).group(1)
            assert f"\n{answers[-1].strip()}. {color}\n" in text
    assert scenes > N / 2 and choices > N / 2


def test_every_stage_has_its_share_of_every_kind() -> None:
    assert all(len(shares) == len(STARTS) + 1 for shares in SHARES.values())
    assert all(sum(shares) == 100 for shares in zip(*SHARES.values(), strict=True))


def test_no_held_out_operands_are_trained_on_and_every_result_is_right() -> None:
    tokenizer = wrapped(build_tokenizer(WORDS))
    assert tokenizer_of("acdc-arithmetic").get_vocab() == tokenizer.get_vocab()
    problems = {tokenizer.decode(sentence.ids) for sentence in drawn_problems(tokenizer, random.Random(0))}
    assert len(problems) > 4000 and sum(SUMS.values()) == 40_000
    held_out = {p.clean for p in load_task("arithmetic").held_out_pairs(tokenizer, N, random.Random(1))}
    for problem in problems:
        first, sign, second, result = re.fullmatch(r"(\d\d)([+-])(\d\d)=(\d\d)", problem).groups()
        assert int(result) == (int(first) + int(second) if sign == "+" else int(first) - int(second))
        assert f"{first}+{second}=" not in held_out and f"{second}+{first}=" not in held_out
