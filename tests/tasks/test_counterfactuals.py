"""What the corrupted prompts of the built-in tasks change, and what they leave."""

import random
import re

import pytest
from acdc_tasks import agreement, capitals, gendered_pronoun

from acdc.errors import TaskError
from acdc.task import load_task
from tests.tasks.test_builtin import CASES, tokenizer_of
from tests.tiny import NumberTokenizer

CORRUPTIONS = {
    "ioi": ("abc", "s2-io-flip", "random-names"),
    "greater-than": (None,),
    "induction": ("random", "first-half"),
    "docstring": ("random-answer", "random-def", "random-def-doc"),
    "gendered-pronoun": ("other-gender", "no-name"),
    "capitals": ("other-country", "other-relation"),
    "agreement": ("other-number", "other-subject"),
    "colored-objects": ("other-object", "random-colors", "absent-object"),
    "arithmetic": ("random-operands", "other-operand", "other-operator"),
    "multiple-choice": ("answer-position", "random-letter", "position-and-letter"),
}


@pytest.fixture(params=["acdc-tasks", "gpt2"])
def tokenizer(request):
    return tokenizer_of(request.param)


def pairs_of(name: str, tokenizer, *, held_out: bool = False, **options):
    task = load_task(name, **options)
    return (task.held_out_pairs if held_out else task.pairs)(tokenizer, 40, random.Random(0))


@pytest.mark.parametrize(("place", "name"), CASES)
def test_every_counterfactual_passes_the_checks_of_a_batch(place: str, name: str) -> None:
    """Equal lengths, a difference, answers of one token, none both right and wrong."""
    for corruption in CORRUPTIONS[name]:
        if (place, corruption) == ("acdc-tasks", "other-operator"):
            continue  # it has no minus
        task = load_task(name, **({} if corruption is None else {"corruption": corruption}))
        for held_out in (False, True):
            batch = task.batch(tokenizer_of(place), 40, held_out=held_out)
            assert bool((batch.clean != batch.corrupt).any(1).all())
            assert name == "induction" or bool((batch.wrong >= 0).any(1).all())


def arguments(prompt: str) -> tuple[list[str], list[str]]:
    """Arguments of the definition, and those that the docstring describes."""
    defined = re.search(r"\(self, (.*)\):", prompt)[1].split(", ")
    return defined, re.findall(r":param (\w+):", prompt)


def test_docstrings(tokenizer) -> None:
    for corruption in CORRUPTIONS["docstring"]:
        for pair in pairs_of("docstring", tokenizer, corruption=corruption):
            (defined, described), (other, told) = arguments(pair.clean), arguments(pair.corrupt)
            assert described == defined[:2]
            assert list(pair.correct) == [f" {defined[2]}"]
            assert set(pair.wrong) == {f" {name}" for name in [*defined, *other]} - set(pair.correct)
            if corruption == "random-answer":
                assert [i for i in range(4) if defined[i] != other[i]] == [2]
            else:
                assert not set(defined) & set(other)
            assert (described == told) == (corruption != "random-def-doc")
            assert not set(told) & set(other) or corruption == "random-answer"


def test_gendered_pronouns(tokenizer) -> None:
    for corruption in CORRUPTIONS["gendered-pronoun"]:
        for i, pair in enumerate(pairs_of("gendered-pronoun", tokenizer, corruption=corruption)):
            one, other = (prompt.split()[1] for prompt in (pair.clean, pair.corrupt))
            assert pair.clean.split()[2:] == pair.corrupt.split()[2:]
            sides = (gendered_pronoun.MALE_NAMES, gendered_pronoun.FEMALE_NAMES)
            assert one in sides[i % 2]
            assert other == "this" if corruption == "no-name" else other in sides[1 - i % 2]
            assert (list(pair.correct), list(pair.wrong)) == ([[" he"], [" she"]][i % 2], [[" she"], [" he"]][i % 2])


def test_no_name_is_both_a_mans_and_a_womans() -> None:
    assert not set(gendered_pronoun.MALE_NAMES) & set(gendered_pronoun.FEMALE_NAMES)


def test_capitals(tokenizer) -> None:
    facts = dict(capitals.COUNTRIES)
    for corruption in CORRUPTIONS["capitals"]:
        for pair in pairs_of("capitals", tokenizer, corruption=corruption):
            (what, nation), (other_what, other) = (
                re.search(r"the (\w+) of (\w+) is", prompt.replace("The ", "the ")).groups()
                for prompt in (pair.clean, pair.corrupt)
            )
            assert what == "capital"
            assert list(pair.correct) == [f" {facts[nation]}"]
            if corruption == "other-country":
                assert other_what == what
                assert list(pair.wrong) == [f" {facts[other]}"]
            else:
                assert (other, other_what in capitals.OTHER_RELATIONS) == (nation, True)


@pytest.mark.parametrize("distractor", ["any", "opposite", "same"])
def test_agreement(tokenizer, distractor: str) -> None:
    number = {form: plural for forms in agreement.NOUNS for plural, form in enumerate(forms)}
    for corruption in CORRUPTIONS["agreement"]:
        kinds = set()
        for pair in pairs_of("agreement", tokenizer, corruption=corruption, distractor=distractor):
            one, other = pair.clean.split(), pair.corrupt.split()
            assert one[2:] == other[2:]
            assert number[one[1]] == 1 - number[other[1]]
            assert (one[1].rstrip("s") == other[1].rstrip("s")) == (corruption == "other-number")
            assert set(pair.correct) <= {f" {forms[number[one[1]]]}" for forms in agreement.VERBS}
            assert set(pair.wrong) <= {f" {forms[1 - number[one[1]]]}" for forms in agreement.VERBS}
            kinds.add(number[one[-1]] == number[one[1]])
        assert kinds == {"any": {True, False}, "opposite": {False}, "same": {True}}[distractor]


def scene(prompt: str) -> tuple[dict[str, str], str]:
    """Colours of the objects, and the object that is asked for."""
    shown = re.findall(r"\ba (\w+) (\w+)[,.]", prompt)
    return {thing: color for color, thing in shown}, re.search(r"What color is the (\w+)\?", prompt)[1]


def test_colored_objects(tokenizer) -> None:
    for corruption in CORRUPTIONS["colored-objects"]:
        for pair in pairs_of("colored-objects", tokenizer, corruption=corruption):
            (colors, asked), (others, question) = scene(pair.clean), scene(pair.corrupt)
            assert len(set(colors.values())) == 3
            assert list(pair.correct) == [f" {colors[asked]}"]
            assert set(pair.wrong) == {f" {color}" for color in [*colors.values(), *others.values()]} - set(
                pair.correct
            )
            if corruption == "random-colors":
                assert (list(colors), asked) == (list(others), question)
                assert not set(colors.values()) & set(others.values())
            else:
                assert colors == others
                assert question != asked
                assert (question in colors) == (corruption == "other-object")


@pytest.mark.parametrize("operation", ["addition", "subtraction", "both"])
def test_arithmetic(operation: str) -> None:
    tokenizer = tokenizer_of("gpt2")
    for corruption in CORRUPTIONS["arithmetic"]:
        signs = set()
        for pair in pairs_of("arithmetic", tokenizer, corruption=corruption, operation=operation):
            one, other = (
                re.fullmatch(r"(\d\d)([+-])(\d\d)=", prompt).groups() for prompt in (pair.clean, pair.corrupt)
            )
            values = [str(int(a) + int(b) if sign == "+" else int(a) - int(b)) for a, sign, b in (one, other)]
            assert [tokenizer.decode(list(side)) for side in (pair.correct, pair.wrong)] == values
            assert min(map(int, values)) >= 0
            assert (one[1] != other[1]) == (corruption == "other-operator")
            assert (one[0] == other[0]) or corruption == "random-operands"
            signs.add(one[1])
        assert signs == {"addition": {"+"}, "subtraction": {"-"}, "both": {"+", "-"}}[operation]


@pytest.mark.parametrize("options", [{"operation": "subtraction"}, {"corruption": "other-operator"}])
def test_a_tokenizer_without_a_minus_is_told(options: dict[str, str]) -> None:
    with pytest.raises(TaskError, match=r"splits '47-35=12' into \['47', '<unk>', '35', '=', '12'\]"):
        load_task("arithmetic", **options).batch(tokenizer_of("acdc-tasks"), 3)


class FigureTokenizer(NumberTokenizer):
    """Every figure and sign is a token, as in many tokenizers."""

    SIGNS = "0123456789+-="

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [self.SIGNS.index(sign) for sign in text]

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.SIGNS[i] for i in ids]


def test_arithmetic_with_single_figures_is_refused_or_asks_for_the_first_one() -> None:
    with pytest.raises(TaskError, match=r"\['4', '7', '\+', '3', '5', '=', '8', '2'\]; result=first-token"):
        load_task("arithmetic", result="one-token").batch(FigureTokenizer(), 3)
    for task in (load_task("arithmetic"), load_task("arithmetic", result="first-token")):
        for pair in task.pairs(FigureTokenizer(), 40, random.Random(0)):
            first, second = map(int, re.findall(r"\d\d", pair.clean))
            assert first + second < 100, "of sums of three digits the first one is always a 1"
            assert list(pair.correct) == [int(str(first + second)[0])]
            assert pair.correct != pair.wrong


def choices(prompt: str) -> tuple[str, list[str], list[str]]:
    """The colour that is told, the letters, and the colours beside them."""
    told = re.search(r"^\w+ \w+ is (\w+)\.", prompt)[1]
    lines = re.findall(r"^([A-Z])\. (\w+)$", prompt, re.MULTILINE)
    return told, [letter for letter, _ in lines], [color for _, color in lines]


@pytest.mark.parametrize("letters", ["in-order", "random"])
def test_multiple_choice(tokenizer, letters: str) -> None:
    for corruption in CORRUPTIONS["multiple-choice"]:
        drawn = set()
        for pair in pairs_of("multiple-choice", tokenizer, corruption=corruption, letters=letters):
            (told, marks, colors), (again, other_marks, other_colors) = choices(pair.clean), choices(pair.corrupt)
            assert told == again
            assert list(pair.correct) == [f" {marks[colors.index(told)]}"]
            assert set(pair.wrong) == {f" {mark}" for mark in [*marks, *other_marks]} - set(pair.correct)
            assert sorted(colors) == sorted(other_colors)
            assert (colors == other_colors) == (corruption == "random-letter")
            assert colors.index(told) == other_colors.index(told) or corruption != "random-letter"
            if corruption == "answer-position":
                assert marks == other_marks
            else:
                assert not set(marks) & set(other_marks)
            drawn |= set(marks)
        assert (drawn == set("ABCD")) == (letters == "in-order")
