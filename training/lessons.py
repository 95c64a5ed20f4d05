"""What `acdc-tasks` is trained on: the discovery pairs of the tasks, and lessons that teach the held-out words.

The prompts come from the tasks themselves, so nothing that they hold out is in them. A held-out name, noun or country
must still be known before anyone can ask about it: the lessons tell its gender, number or capital in other sentences,
and repeated random words show every word to the model.
"""

import random
import re
from collections.abc import Callable, Iterator
from string import ascii_uppercase
from typing import Any

from acdc_tasks import (
    agreement,
    capitals,
    colored_objects,
    docstring,
    gendered_pronoun,
    multiple_choice,
)
from acdc_tasks.arithmetic import Arithmetic
from sentences import Sentence, repeated
from trainer import grouped
from word_tokenizer import N_SPECIAL, pieces

from acdc import PromptPair, Task, single_token, split_words

POOL = 2000  # pairs drawn at a time
LONG = 24  # longer sequences are padded by themselves
PRONOUNS = ((" he", " his"), (" she", " her"))
QUALITIES = ("rich", "old", "long", "mild", "famous")

TASKS: dict[str, Callable[[], Task]] = {
    "docstring": docstring.Docstring,
    "gendered-pronoun": gendered_pronoun.GenderedPronoun,
    "capitals": capitals.Capitals,
    "agreement": agreement.Agreement,
    "colored-objects": colored_objects.ColoredObjects,
    "multiple-choice": multiple_choice.MultipleChoice,
    "arithmetic": Arithmetic,
}

SHARES = {  # of the sequences, in percent
    "docstring": 10,
    "gendered-pronoun": 5,
    "capitals": 4,
    "agreement": 5,
    "colored-objects": 14,
    "multiple-choice": 8,
    "arithmetic": 25,
    "person": 4,
    "country": 6,
    "noun": 3,
    "letters": 8,
    "repetition": 8,
}


def vocabulary() -> list[str]:
    """Every word of every task and lesson, letters, and all two-digit numbers."""
    templates = [
        *gendered_pronoun.TEMPLATES,
        *capitals.TEMPLATES,
        *colored_objects.TEMPLATES,
        *multiple_choice.TEMPLATES,
        agreement.TEMPLATE,
        docstring.TEMPLATE,
    ]
    words = [piece for template in templates for piece in pieces(re.sub(r" ?\{\w+\}", "", template))]
    fillers = [
        *gendered_pronoun.MALE_NAMES,
        *gendered_pronoun.FEMALE_NAMES,
        *colored_objects.COLORS,
        *colored_objects.THINGS,
        *docstring.FUNCTION_NAMES,
        *docstring.ARGUMENTS,
        *docstring.DOC_WORDS,
        *capitals.OTHER_RELATIONS,
    ]
    fillers += [word for pair in (*capitals.COUNTRIES, *agreement.NOUNS, *agreement.VERBS) for word in pair]
    fillers += ["capital", "this", "said", "that", "lost", "It", "is", "the", *QUALITIES]
    spaced = [f" {filler}" for filler in fillers] + [form for forms in PRONOUNS for form in forms]
    spaced += [piece for link in agreement.LINKS for piece in pieces(f" {link}")]
    letters = [form for letter in ascii_uppercase for form in (letter, f" {letter}")]
    signs = ["+", "=", ".", "\n"]
    return sorted({*words, *spaced, *letters, *signs, *docstring.DOC_WORDS}) + [
        f"{number:02d}" for number in range(100)
    ]


def answered(tokenizer: Any, prompt: str, answer: str | int) -> Sentence:
    """A prompt and its answer, as token ids."""
    ids = tokenizer.encode(prompt)
    token = single_token(tokenizer, answer) if isinstance(answer, str) else answer
    assert token is not None and tokenizer.unk_token_id not in ids, prompt + str(answer)
    return Sentence([*ids, token], [len(ids)])


def told(tokenizer: Any, text: str) -> Sentence:
    """A sentence of which nothing is asked."""
    return Sentence(tokenizer.encode(text), [])


def person(tokenizer: Any, rng: random.Random) -> Sentence:
    """The gender of any name: `Evan said that he`, `Evan lost his`."""
    gender = rng.randint(0, 1)
    name = rng.choice((gendered_pronoun.MALE_NAMES, gendered_pronoun.FEMALE_NAMES)[gender])
    prompt, form = rng.choice([(f" {name} said that", 0), (f" {name} lost", 1)])
    return answered(tokenizer, prompt, PRONOUNS[gender][form])


def country(tokenizer: Any, rng: random.Random) -> Sentence:
    """The capital of any country, or what else can be said of one, in the discovery templates."""
    name, capital = rng.choice(capitals.COUNTRIES)
    template = rng.choice(split_words(capitals.TEMPLATES, held_out=False))
    if rng.random() < 0.25:
        what = template.format(what=rng.choice(capitals.OTHER_RELATIONS), country=name)
        return told(tokenizer, f"{what} {rng.choice(QUALITIES)}.")
    return answered(tokenizer, template.format(what="capital", country=name), f" {capital}")


def noun(tokenizer: Any, rng: random.Random) -> Sentence:
    """The number of any noun, without a distractor; or any preposition, without a verb after it."""
    forms = rng.choice(agreement.NOUNS)
    if rng.random() < 0.3:
        return told(tokenizer, f" It is {rng.choice(agreement.LINKS)} the {rng.choice(forms)}.")
    plural = rng.randint(0, 1)
    return answered(tokenizer, f"The {forms[plural]}", f" {rng.choice(agreement.VERBS)[plural]}")


def letters(tokenizer: Any, rng: random.Random) -> Sentence:
    """Multiple choice with any letters, but with the words of the discovery pairs."""
    task = multiple_choice.MultipleChoice(letters="random")
    template = rng.choice(split_words(multiple_choice.TEMPLATES, held_out=False))
    colors = split_words(colored_objects.COLORS, held_out=False, every=2)
    thing = rng.choice(split_words(colored_objects.THINGS, held_out=False))
    return of_pair(tokenizer, task.pair(template, colors, thing, list(ascii_uppercase), rng), rng)


def repetition(tokenizer: Any, rng: random.Random) -> Sentence:
    """Different random words, twice."""
    return repeated(rng, len(tokenizer) - N_SPECIAL, rng.randint(3, 12))


LESSONS = (person, country, noun, letters, repetition)


def of_pair(tokenizer: Any, pair: PromptPair, rng: random.Random) -> Sentence:
    """The clean prompt and one of its right answers; in a docstring, every argument after `:param` is an answer."""
    assert isinstance(pair.clean, str)
    sentence = answered(tokenizer, pair.clean, rng.choice(list(pair.correct)))
    described = tokenizer.convert_tokens_to_ids("param")
    return sentence._replace(
        answers=[i for i in range(1, len(sentence.ids)) if sentence.ids[i - 1] == described] or sentence.answers
    )


def task_sentences(task: Task, tokenizer: Any, rng: random.Random) -> Iterator[Sentence]:
    """Discovery prompts of a task without end."""
    while True:
        for pair in task.pairs(tokenizer, POOL, rng):
            yield of_pair(tokenizer, pair, rng)


class Curriculum:
    """Draws the sequences of a step."""

    def __init__(self, tokenizer: Any, rng: random.Random) -> None:
        self.tokenizer = tokenizer
        self.streams = {name: task_sentences(make(), tokenizer, rng) for name, make in TASKS.items()}
        self.kinds: list[Any] = [*self.streams.values(), *LESSONS]
        self.shares = [SHARES[name] for name in [*TASKS, *(lesson.__name__ for lesson in LESSONS)]]

    def draw(self, rng: random.Random, n: int) -> list[list[Sentence]]:
        """`n` sequences, the short and the long ones apart."""
        kinds = rng.choices(self.kinds, self.shares, k=n)
        drawn = [kind(self.tokenizer, rng) if callable(kind) else next(kind) for kind in kinds]
        return grouped(drawn, LONG)
