"""Indirect object identification (Wang et al. 2022): "When Mary and John went out, John gave a drink to" -> " Mary"."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from acdc import PromptPair, Words, WordTask, word_spans

# Names, templates, and the first eight places and objects are those of the authors' `ioi_dataset.py`; the others are
# ours.
NAMES: tuple[str, ...] = tuple(
    """
    Michael Christopher Jessica Matthew Ashley Jennifer Joshua Amanda Daniel David James Robert John Joseph Andrew
    Ryan Brandon Jason Justin Sarah William Jonathan Stephanie Brian Nicole Nicholas Anthony Heather Eric Elizabeth
    Adam Megan Melissa Kevin Steven Thomas Timothy Christina Kyle Rachel Laura Lauren Amber Brittany Danielle Richard
    Kimberly Jeffrey Amy Crystal Michelle Tiffany Jeremy Benjamin Mark Emily Aaron Charles Rebecca Jacob Stephen
    Patrick Sean Erin Zachary Jamie Kelly Samantha Nathan Sara Dustin Paul Angela Tyler Scott Katherine Andrea Gregory
    Erica Mary Travis Lisa Kenneth Bryan Lindsey Kristen Jose Alexander Jesse Katie Lindsay Shannon Vanessa Courtney
    Christine Alicia Cody Allison Bradley Samuel
    """.split()
)
PLACES: tuple[str, ...] = tuple(
    """
    store garden restaurant school hospital office house station
    park market library museum beach theater airport bakery church hotel bank farm
    """.split()
)
OBJECTS: tuple[str, ...] = tuple(
    """
    ring kiss bone basketball computer necklace drink snack
    book letter gift ball camera flower map ticket watch coin toy hat
    """.split()
)

# {first} and {second} are introduced, {subject} is the one of them that acts; the next word is the other one.
# ABBA: first = indirect object, second = subject. BABA: first = subject, second = indirect object.
TEMPLATES: tuple[str, ...] = (
    "Then, {first} and {second} went to the {place}. {subject} gave a {object} to",
    "Then, {first} and {second} had a lot of fun at the {place}. {subject} gave a {object} to",
    "Then, {first} and {second} were working at the {place}. {subject} decided to give a {object} to",
    "Then, {first} and {second} were thinking about going to the {place}. {subject} wanted to give a {object} to",
    "Then, {first} and {second} had a long argument, and afterwards {subject} said to",
    "After {first} and {second} went to the {place}, {subject} gave a {object} to",
    "When {first} and {second} went to the {place}, {subject} gave a {object} to",
    "When {first} and {second} got a {object} at the {place}, {subject} decided to give it to",
    "When {first} and {second} got a {object} at the {place}, {subject} decided to give the {object} to",
    "While {first} and {second} were working at the {place}, {subject} gave a {object} to",
    "While {first} and {second} were commuting to the {place}, {subject} gave a {object} to",
    "After the lunch, {first} and {second} went to the {place}. {subject} gave a {object} to",
    "Afterwards, {first} and {second} went to the {place}. {subject} gave a {object} to",
    "Then, {first} and {second} had a long argument. Afterwards {subject} said to",
    "The {place} {first} and {second} went to had a {object}. {subject} gave it to",
    "Friends {first} and {second} found a {object} at the {place}. {subject} gave it to",
)

MIN_NAMES = 5  # two of the prompt, three of its "abc" twin


class Scenes(NamedTuple):
    """What stands around the names."""

    places: list[str]
    objects: list[str]
    templates: list[str]


class Names(NamedTuple):
    """Who is named first, who second, and who then acts."""

    first: str
    second: str
    subject: str


def abc(names: Names, others: list[str], rng: random.Random) -> Names:
    """Three different names, none of the clean prompt's: no name repeats, so nobody is the indirect object (Wang et al.
    2022, section 2; ACDC's own choice)."""
    return Names(*rng.sample(others, 3))


def s2_io_flip(names: Names, others: list[str], rng: random.Random) -> Names:
    """The other of the two acts, so the answer flips and all else stays (MIB's `s2_io_flip`)."""
    return names._replace(subject=names.second if names.subject == names.first else names.first)


def random_names(names: Names, others: list[str], rng: random.Random) -> Names:
    """Two other names in the same places: the structure stays, the answer is another name."""
    one, other = rng.sample(others, 2)
    return Names(one, other, one if names.subject == names.first else other)


CORRUPTIONS: dict[str, Callable[[Names, list[str], random.Random], Names]] = {
    "abc": abc,
    "s2-io-flip": s2_io_flip,
    "random-names": random_names,
}
ORDERS = {"both": ("ABBA", "BABA"), "ABBA": ("ABBA",), "BABA": ("BABA",)}
SLOTS = {"ABBA": ("IO", "S1", "S2"), "BABA": ("S1", "IO", "S2")}


class IOI(WordTask):
    """Indirect object identification in ABBA and BABA order, with names that are single tokens.

    Discovery and held-out pairs share no name, place, object or template. Spans are the paper's: the names `IO`, `S1`
    and `S2`, the word after the first subject, `S1+1`, and `end`, the last one.

    Args:
        corruption: `abc`, `s2-io-flip` or `random-names`.
        order: `ABBA` (the indirect object is named first), `BABA` or `both`, in turn.
    """

    name = "ioi"
    summary = "who receives the gift: the name that occurs only once"
    source = "Wang et al. 2022, Interpretability in the Wild (arXiv 2211.00593)"

    def __init__(self, corruption: str = "abc", order: str = "both") -> None:
        self.corruption = self.choice("corruption", corruption, CORRUPTIONS)
        self.orders = ORDERS[self.choice("order", order, ORDERS)]

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the right answer is the indirect object, the wrong one the subject."""
        names = words.single_tokens(NAMES, "first names", least=MIN_NAMES)
        scenes = Scenes(words.spellable(PLACES), words.spellable(OBJECTS), words.spellable(TEMPLATES))
        return [self.pair(names, scenes, self.orders[i % len(self.orders)], rng) for i in range(n)]

    def pair(self, names: list[str], scenes: Scenes, order: str, rng: random.Random) -> PromptPair:
        """One pair; the two sides differ only in names."""
        io, subject = rng.sample(names, 2)
        clean = Names(io, subject, subject) if order == "ABBA" else Names(subject, io, subject)
        others = [name for name in names if name not in (io, subject)]
        corrupt = CORRUPTIONS[self.corruption](clean, others, rng)
        scene = {"place": rng.choice(scenes.places), "object": rng.choice(scenes.objects)}
        template = rng.choice(scenes.templates)
        clean_text, corrupt_text = (template.format(**side._asdict(), **scene) for side in (clean, corrupt))
        spans = spans_of(order, template, clean, corrupt)
        return PromptPair(clean_text, corrupt_text, correct=[f" {io}"], wrong=[f" {subject}"], spans=spans)


def spans_of(order: str, template: str, clean: Names, corrupt: Names) -> dict[str, Any]:
    """Where the names are, and the word after the first subject."""
    names = word_spans(*(dict(zip(SLOTS[order], side, strict=True)) for side in (clean, corrupt)))
    after = "and" if order == "BABA" else template.partition("{second} ")[2].split()[0]
    return {"IO": names["IO"], "S1": names["S1"], "S1+1": (after, 1), "S2": names["S2"]}
