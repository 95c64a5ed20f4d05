"""What `acdc-questions` is trained on: coloured objects, multiple choice, and lessons in looking things up.

The tasks' own discovery prompts with their own words, the same prompts with any words that the tasks don't hold out,
and, before all that, bare lists of values and keys: what stands before a key that is met again? Held-out colours and
objects occur only in those lists and in random words that are said twice, where every word of the vocabulary does.
"""

import random
from collections.abc import Callable
from string import ascii_uppercase
from typing import Any

from acdc_tasks import colored_objects, multiple_choice
from acdc_tasks.colored_objects import COLORS, THINGS, ColoredObjects, scene
from acdc_tasks.multiple_choice import MultipleChoice
from lessons import answered, of_pair, repetition
from sentences import Sentence
from trainer import grouped
from word_tokenizer import N_SPECIAL

from acdc import Task, single_token, split_words

TASKS: dict[str, Callable[[], Task]] = {
    "colored-objects": ColoredObjects,
    "multiple-choice": MultipleChoice,
}
LETTERS = list(ascii_uppercase)
STARTS = (300, 1000, 4000)  # steps from which on lists have words between, questions are most, choices are most
SHARES = {  # of the sequences, in percent: at first, and from those steps on
    "lookup": (90, 50, 15, 8),
    "listed": (0, 15, 8, 8),
    "scene": (0, 15, 35, 20),
    "choice": (0, 10, 34, 56),
    "repetition": (10, 10, 8, 8),
}
ANY_WORDING = " {word} {object} is {color}. What color is {word} {object}?\n{choices}\nAnswer:"
WIDTHS = (16, 26)  # sequences are padded with those of about their length


class Questions:
    """Draws the sequences of a step."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.colors, self.things, self.scenes, self.wordings = (
            split_words(words, held_out=False, every=every)
            for words, every in (
                (COLORS, 2),
                (THINGS, 4),
                (colored_objects.TEMPLATES, 4),
                (multiple_choice.TEMPLATES, 4),
            )
        )
        held_out = {*COLORS, *THINGS} - {*self.colors, *self.things}
        words = [
            word[1:] for word in tokenizer.get_vocab() if word.startswith(" ") and word[2:].isalpha()
        ]  # no letters
        self.words = [word for word in sorted(words) if word not in held_out]
        held_out_wordings = " ".join(split_words(multiple_choice.TEMPLATES, held_out=True)).lower().split()
        self.determiners = [word for word in self.words if word not in held_out_wordings]
        self.tokens = range(N_SPECIAL, len(tokenizer))

    def draw(self, rng: random.Random, step: int, n: int) -> list[list[Sentence]]:
        """`n` sequences in groups of about one length."""
        stage = sum(step >= start for start in STARTS)
        kinds = rng.choices(list(SHARES), [shares[stage] for shares in SHARES.values()], k=n)
        drawn = [self.sentence(kind, rng, stage) for kind in kinds]
        return grouped(drawn, *WIDTHS)

    def sentence(self, kind: str, rng: random.Random, stage: int) -> Sentence:
        """One sequence of a kind."""
        match kind:
            case "lookup":
                return self.lookup(rng, bare=stage == 0)
            case "listed":
                return self.listed(rng)
            case "scene":
                return self.scene(rng)
            case "choice":
                return self.choice(rng, reworded=stage == len(STARTS))
            case _:
                return repetition(self.tokenizer, rng)

    def lookup(self, rng: random.Random, *, bare: bool) -> Sentence:
        """`value key, a value key …`, and then every key with its value; without the words between if it is bare."""
        count = rng.randint(2, 4)
        drawn = rng.sample(self.tokens, 2 * count)
        between = rng.choice(["", " a", ", a", ","]) if not bare else ""
        middle, tail = (rng.choice(["", "", text]) if not bare else "" for text in (".", "?\nA:"))
        ids = []
        for key, value in zip(drawn[:count], drawn[count:], strict=True):
            ids += [*self.ids(between), value, *self.ids(middle), key]
        return self.asked(ids, drawn[:count], drawn[count:], self.ids(tail), rng)

    def listed(self, rng: random.Random) -> Sentence:
        """Choices with any words, and then every word with its letter."""
        letters, words = rng.sample(LETTERS, 4), rng.sample(self.words, 4)
        ids = self.ids("".join(f"\n{letter}. {word}" for letter, word in zip(letters, words, strict=True)))
        keys, values = ([self.token(f" {word}") for word in kind] for kind in (words, letters))
        return self.asked(ids, keys, values, [], rng)

    def asked(
        self, ids: list[int], keys: list[int], values: list[int], tail: list[int], rng: random.Random
    ) -> Sentence:
        """What was told, and then each key, in any order, with its value as the answer."""
        answers = []
        for key, value in rng.sample(list(zip(keys, values, strict=True)), len(keys)):
            ids = [*ids, key, *tail, value]
            answers.append(len(ids) - 1)
        return Sentence(ids, answers)

    def scene(self, rng: random.Random) -> Sentence:
        """Coloured objects; in half of them other words stand for colours and objects."""
        colors, things = rng.sample(self.colors, 3), rng.sample(self.things, 3)
        if rng.random() < 0.5:
            words = rng.sample(self.words, 6)
            colors, things = words[:3], words[3:]
        asked = rng.randrange(3)
        return answered(self.tokenizer, scene(rng.choice(self.scenes), colors, things, asked), f" {colors[asked]}")

    def choice(self, rng: random.Random, *, reworded: bool) -> Sentence:
        """Multiple choice; in half of it other words stand for colours and object, in half the letters are random; if
        `reworded`, in half of it any word stands where the wordings differ."""
        task = MultipleChoice(letters=rng.choice(["in-order", "random"]))
        colors, thing = self.colors, rng.choice(self.things)
        if rng.random() < 0.5:
            thing, *colors = rng.sample(self.words, 8)
        wording = rng.choice(self.wordings)
        if reworded and rng.random() < 0.5:
            wording = ANY_WORDING.replace("{word}", rng.choice(self.determiners))
        return of_pair(self.tokenizer, task.pair(wording, colors, thing, LETTERS, rng), rng)

    def ids(self, text: str) -> list[int]:
        """A text's tokens."""
        return list(self.tokenizer.encode(text)) if text else []

    def token(self, word: str) -> int:
        """A word's token."""
        found = single_token(self.tokenizer, word)
        assert found is not None, word
        return found
