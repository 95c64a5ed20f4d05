"""Multiple choice with copied colours (MIB, Wiegreffe et al. 2024): "A box is brown. What color is a box? …" -> "D"."""

import random
from string import ascii_uppercase
from typing import Any, NamedTuple

from acdc import PromptPair, Words, WordTask, single_token, single_tokens, word_spans

COLORS: tuple[str, ...] = tuple(
    """
    red purple blue black yellow brown green white pink gray silver gold violet crimson bronze tan
    """.split()
)
THINGS: tuple[str, ...] = tuple(
    """
    pencil notebook pen cup plate jug mug puzzle textbook leash necklace bracelet bottle ball lighter bowl box book hat
    ring watch key spoon fork knife bag coin candle phone lamp towel shirt sock glove shoe brush pillow ribbon clock
    card
    """.split()
)
TEMPLATES: tuple[str, ...] = (
    "A {object} is {color}. What color is a {object}?\n{choices}\nAnswer:",
    "The {object} is {color}. What color is the {object}?\n{choices}\nAnswer:",
    "My {object} is {color}. What color is my {object}?\n{choices}\nAnswer:",
    "This {object} is {color}. What color is this {object}?\n{choices}\nAnswer:",
)

CORRUPTIONS = ("answer-position", "random-letter", "position-and-letter")
LETTERS = ("in-order", "random")
N_CHOICES = 4


class Question(NamedTuple):
    """Four letters, the four colours beside them, and which of them is right."""

    letters: list[str]
    colors: list[str]
    right: int


class MultipleChoice(WordTask):
    """The letter of the choice that repeats the colour that was just told.

    Discovery and held-out pairs share no colour, no object and no wording; with random letters no letter either. Spans
    are the `color` that is told, the right `letter` (with its stop) and `choice`, and the `other-letters` and
    `other-choices`.

    Args:
        corruption: `answer-position` (the right colour changes places with another choice, so the letter flips),
            `random-letter` (four other letters) or `position-and-letter` (both).
        letters: `in-order` (A to D) or `random` (four different ones of the alphabet).
    """

    name = "multiple-choice"
    summary = "the letter of the right one of four choices"
    source = "MIB, Mueller et al. 2025 (arXiv 2504.13151); Wiegreffe et al. 2024"
    default_model = "acdc-questions"

    def __init__(self, corruption: str = "answer-position", letters: str = "in-order") -> None:
        self.corruption = self.choice("corruption", corruption, CORRUPTIONS)
        self.letters = self.choice("letters", letters, LETTERS)

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the wrong answers are the other letters of either prompt."""
        colors = words.single_tokens(COLORS, "colours", least=N_CHOICES, every=2)
        objects = words.single_tokens(THINGS, "objects")
        bare = [x for x in ascii_uppercase if single_token(words.tokenizer, x) is not None]
        letters = words.need(
            words.split(single_tokens(words.tokenizer, bare), every=2),
            "capital letters that are single tokens with and without a leading space",
            least=2 * N_CHOICES,
        )
        templates = words.spellable(TEMPLATES)
        return [self.pair(rng.choice(templates), colors, rng.choice(objects), letters, rng) for _ in range(n)]

    def pair(self, template: str, colors: list[str], thing: str, letters: list[str], rng: random.Random) -> PromptPair:
        """One pair; the two sides differ in the order of the choices, in their letters, or in both."""
        if self.letters == "in-order":
            first = list(ascii_uppercase[:N_CHOICES])
            second = rng.sample([letter for letter in letters if letter not in first], N_CHOICES)
        else:
            drawn = rng.sample(letters, 2 * N_CHOICES)
            first, second = drawn[:N_CHOICES], drawn[N_CHOICES:]
        right, other = rng.sample(range(N_CHOICES), 2)
        clean = Question(first, rng.sample(colors, N_CHOICES), right)
        corrupt = clean if self.corruption == "random-letter" else swapped(clean, other)
        if self.corruption != "answer-position":
            corrupt = corrupt._replace(letters=second)
        wrong = [f" {letter}" for letter in dict.fromkeys([*first, *corrupt.letters]) if letter != first[right]]
        return PromptPair(
            written(template, thing, clean),
            written(template, thing, corrupt),
            correct=[f" {first[right]}"],
            wrong=wrong,
            spans=spans_of(clean, corrupt),
        )


def spans_of(clean: Question, corrupt: Question) -> dict[str, Any]:
    """Where the colours and letters are."""
    words = [
        {"color": side.colors[side.right]}
        | {f"choice{i}": color for i, color in enumerate(side.colors)}
        | {f"letter{i}": f"{letter}." for i, letter in enumerate(side.letters)}
        for side in (clean, corrupt)
    ]
    found, others = word_spans(*words), [i for i in range(N_CHOICES) if i != clean.right]
    return {
        "color": found["color"],
        "letter": found[f"letter{clean.right}"],
        "choice": found[f"choice{clean.right}"],
        "other-letters": [found[f"letter{i}"] for i in others],
        "other-choices": [found[f"choice{i}"] for i in others],
    }


def swapped(question: Question, other: int) -> Question:
    """The right colour and another choice in each other's places."""
    colors = list(question.colors)
    colors[question.right], colors[other] = colors[other], colors[question.right]
    return question._replace(colors=colors, right=other)


def written(template: str, thing: str, question: Question) -> str:
    """The prompt."""
    choices = "\n".join(f"{letter}. {color}" for letter, color in zip(question.letters, question.colors, strict=True))
    return template.format(object=thing, color=question.colors[question.right], choices=choices)
