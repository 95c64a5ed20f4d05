"""Multiple choice with copied colours (MIB, Wiegreffe et al. 2024): "A box is brown. What color is a box? …" -> "D"."""

import random
from string import ascii_uppercase
from typing import Any, NamedTuple

from acdc import PromptPair, Task, TaskError, single_token, single_tokens, spellable, split_words

from .words import CHOICE_TEMPLATES, COLORS, THINGS

CORRUPTIONS = ("answer-position", "random-letter", "position-and-letter")
LETTERS = ("in-order", "random")
N_CHOICES = 4
MIN_OBJECTS = 1


class Question(NamedTuple):
    """Four letters, the four colours beside them, and which of them is right."""

    letters: list[str]
    colors: list[str]
    right: int


class MultipleChoice(Task):
    """The letter of the choice that repeats the colour that was just told.

    Discovery and held-out pairs share no colour, no object and no wording; with random letters no letter either.

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
        if corruption not in CORRUPTIONS:
            raise TaskError(f"multiple-choice has no corruption {corruption!r}; it has {', '.join(CORRUPTIONS)}")
        if letters not in LETTERS:
            raise TaskError(f"multiple-choice's letters must be {' or '.join(LETTERS)}, not {letters!r}")
        self.corruption, self.letters = corruption, letters

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the wrong answers are the other letters of either prompt."""
        return self.draw(tokenizer, n, rng, held_out=False)

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of other colours, objects and wordings."""
        return self.draw(tokenizer, n, rng, held_out=True)

    def draw(self, tokenizer: Any, n: int, rng: random.Random, *, held_out: bool) -> list[PromptPair]:
        """`n` pairs of one side of the words."""
        colors = split_words(single_tokens(tokenizer, COLORS), held_out=held_out, every=2)
        objects = split_words(single_tokens(tokenizer, THINGS), held_out=held_out)
        alphabet = [
            x for x in ascii_uppercase if all(single_token(tokenizer, form) is not None for form in (x, f" {x}"))
        ]
        letters = split_words(alphabet, held_out=held_out, every=2)
        if len(colors) < N_CHOICES or len(objects) < MIN_OBJECTS or len(letters) < 2 * N_CHOICES:
            raise TaskError(
                f"multiple-choice needs {N_CHOICES} colours, an object and {2 * N_CHOICES} capital letters that are "
                f"single tokens (the letters with and without a leading space); the tokenizer of "
                f"{tokenizer.name_or_path!r} has {len(colors)}, {len(objects)} and {len(letters)}"
                f"{' that are held out' if held_out else ''}"
            )
        templates = split_words(spellable(tokenizer, CHOICE_TEMPLATES), held_out=held_out)
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
        )


def swapped(question: Question, other: int) -> Question:
    """The right colour and another choice in each other's places."""
    colors = list(question.colors)
    colors[question.right], colors[other] = colors[other], colors[question.right]
    return question._replace(colors=colors, right=other)


def written(template: str, thing: str, question: Question) -> str:
    """The prompt."""
    choices = "\n".join(f"{letter}. {color}" for letter, color in zip(question.letters, question.colors, strict=True))
    return template.format(object=thing, color=question.colors[question.right], choices=choices)
