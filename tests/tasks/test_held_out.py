"""Discovery and held-out pairs share none of the words, templates, numbers or tokens that a task can split."""

import random
import re

import pytest
from acdc_tasks import (
    agreement,
    capitals,
    colored_objects,
    docstring,
    gendered_pronoun,
    greater_than,
    ioi,
    multiple_choice,
)

from acdc.task import load_task
from tests.tasks.test_builtin import CASES, tokenizer_of
from tests.tasks.test_counterfactuals import CORRUPTIONS

LISTS: dict[str, tuple[tuple[str, ...], ...]] = {  # what a task splits
    "ioi": (ioi.NAMES, ioi.PLACES, ioi.OBJECTS),
    "greater-than": (greater_than.NOUNS,),
    "docstring": (docstring.ARGUMENTS, docstring.FUNCTION_NAMES, docstring.DOC_WORDS),
    "gendered-pronoun": (gendered_pronoun.MALE_NAMES, gendered_pronoun.FEMALE_NAMES),
    "capitals": (tuple(country for country, _ in capitals.COUNTRIES),),
    "agreement": (tuple(form for forms in agreement.NOUNS for form in forms), agreement.LINKS),
    "colored-objects": (colored_objects.COLORS, colored_objects.THINGS),
    "multiple-choice": (multiple_choice.COLORS, multiple_choice.THINGS),
}
TEMPLATES = {
    "ioi": ioi.TEMPLATES,
    "gendered-pronoun": gendered_pronoun.TEMPLATES,
    "capitals": capitals.TEMPLATES,
    "colored-objects": colored_objects.TEMPLATES,
    "multiple-choice": multiple_choice.TEMPLATES,
}
N = 150


def both_sides(name: str, tokenizer, **options):
    task = load_task(name, **options)
    return task.pairs(tokenizer, N, random.Random(0)), task.held_out_pairs(tokenizer, N, random.Random(0))


def texts(pairs) -> list[str]:
    return [side for pair in pairs for side in (pair.clean, pair.corrupt)]


def used(items: tuple[str, ...], prompts: list[str]) -> set[str]:
    """The items that occur as whole words."""
    text = "\n".join(prompts)
    return {item for item in items if re.search(rf"(?<![A-Za-z]){item}(?![A-Za-z])", text)}


def pattern_of(template: str) -> str:
    """What any prompt of the template matches."""
    return r"[\w.\n ]+?".join(re.escape(part) for part in re.split(r"\{\w+\}", template))


def template_of(prompt: str, templates: tuple[str, ...]) -> str:
    """The one template that the prompt fills."""
    for template in templates:
        if re.fullmatch(pattern_of(template), prompt):
            return template
    raise AssertionError(prompt)


@pytest.mark.parametrize(("place", "name"), [case for case in CASES if case[1] in LISTS])
def test_the_sides_share_no_word_and_no_template(place: str, name: str) -> None:
    for corruption in CORRUPTIONS[name]:
        options = {} if corruption is None else {"corruption": corruption}
        discovery, held_out = (texts(pairs) for pairs in both_sides(name, tokenizer_of(place), **options))
        for items in LISTS[name]:
            one, other = used(items, discovery), used(items, held_out)
            assert one and other
            assert not one & other
        if name in TEMPLATES:
            one, other = ({template_of(prompt, TEMPLATES[name]) for prompt in side} for side in (discovery, held_out))
            assert not one & other


def answers(pairs) -> set[str]:
    return {answer for pair in pairs for answer in pair.correct}


@pytest.mark.parametrize(("place", "name"), [case for case in CASES if case[1] in ("capitals", "docstring", "ioi")])
def test_the_sides_share_no_answer(place: str, name: str) -> None:
    discovery, held_out = both_sides(name, tokenizer_of(place))
    assert not answers(discovery) & answers(held_out)


def test_random_letters_are_split_too() -> None:
    discovery, held_out = both_sides("multiple-choice", tokenizer_of("acdc-tasks"), letters="random")
    assert not answers(discovery) & answers(held_out)


def test_greater_than_splits_start_years() -> None:
    sides = both_sides("greater-than", tokenizer_of("acdc-small"))
    discovery, held_out = ({re.search(r"year \d\d(\d\d) to", pair.clean)[1] for pair in pairs} for pairs in sides)
    assert discovery and held_out
    assert not discovery & held_out


@pytest.mark.parametrize("corruption", ["random-operands", "other-operand", "other-operator"])
def test_arithmetic_splits_unordered_pairs_of_operands(corruption: str) -> None:
    sides = both_sides("arithmetic", tokenizer_of("gpt2"), corruption=corruption, operation="both")
    discovery, held_out = ({frozenset(re.findall(r"\d\d", prompt)) for prompt in texts(pairs)} for pairs in sides)
    assert not discovery & held_out


def test_induction_splits_tokens_where_there_are_enough_and_sequences_always() -> None:
    def tokens(pairs) -> set[int]:
        return {token for pair in pairs for side in (pair.clean, pair.corrupt) for token in side}

    discovery, held_out = both_sides("induction", tokenizer_of("acdc-small"))
    assert not tokens(discovery) & tokens(held_out)
    task, tokenizer = load_task("induction"), tokenizer_of("induction-compiled")
    one, other = task.batch(tokenizer, N, 0), task.batch(tokenizer, N, 0, held_out=True)
    assert not {tuple(row) for row in one.clean.tolist()} & {tuple(row) for row in other.clean.tolist()}


def test_arithmetic_splits_operands_of_small_tokenizers_too() -> None:
    sides = both_sides("arithmetic", tokenizer_of("acdc-tasks"))
    discovery, held_out = ({frozenset(re.findall(r"\d\d", prompt)) for prompt in texts(pairs)} for pairs in sides)
    assert not discovery & held_out
