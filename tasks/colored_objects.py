"""Coloured objects (Merullo et al. 2024): "… a red pencil, a blue cup, and a green ball. What color is the cup?"."""

import random
from typing import Any

from acdc import PromptPair, Words, WordTask, word_spans

# The first template and the first eight colours are those of Merullo et al. 2024; the others are ours.
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
TEMPLATES: tuple[str, ...] = tuple(
    "Q: On the " + scene + " a {color1} {object1}, a {color2} {object2}, and a {color3} {object3}. What color is the "
    "{asked}?\nA:"
    for scene in (
        "table, I see",
        "desk, I see",
        "floor, I see",
        "table, there is",
        "desk, there is",
        "floor, there is",
        "shelf, you see",
        "chair, there is",
    )
)

CORRUPTIONS = ("other-object", "random-colors", "absent-object")
MIN_COLORS, MIN_OBJECTS = 6, 4  # three of the prompt, and what its twins take


class ColoredObjects(WordTask):
    """Three objects in three colours; the answer is the colour of the one that is asked for.

    Colours and objects are single tokens. Discovery and held-out pairs share no colour, no object and no scene. Spans
    are the right `color` and its `object`, the `other-colors` and `other-objects`, and the object that is `asked` for.

    Args:
        corruption: `other-object` (another of the three is asked for, so the answer flips), `random-colors` (three
            other colours: the structure stays, the answer is another colour) or `absent-object` (one that isn't there
            is asked for).
    """

    name = "colored-objects"
    summary = "the colour of one of three objects"
    source = "Merullo et al. 2024, Circuit Component Reuse Across Tasks (arXiv 2310.08744)"
    default_model = "acdc-questions"

    def __init__(self, corruption: str = "other-object") -> None:
        self.corruption = self.choice("corruption", corruption, CORRUPTIONS)

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the wrong answers are the other colours of either prompt."""
        colors = words.single_tokens(COLORS, "colours", least=MIN_COLORS, every=2)
        objects = words.single_tokens(THINGS, "objects", least=MIN_OBJECTS)
        templates = words.spellable(TEMPLATES)
        return [self.pair(colors, objects, rng.choice(templates), rng) for _ in range(n)]

    def pair(self, colors: list[str], objects: list[str], template: str, rng: random.Random) -> PromptPair:
        """One pair; the two sides differ in the object that is asked for, or in all colours."""
        drawn, things = rng.sample(colors, MIN_COLORS), rng.sample(objects, MIN_OBJECTS)
        asked, other = rng.sample(range(3), 2)
        shown, question = drawn[:3], asked
        if self.corruption == "random-colors":
            shown = drawn[3:]
        else:
            question = other if self.corruption == "other-object" else 3
        clean, corrupt = scene(template, drawn, things, asked), scene(template, shown, things, question)
        wrong = [f" {color}" for color in dict.fromkeys([*drawn[:3], *shown]) if color != drawn[asked]]
        spans = spans_of(asked, (drawn, things, asked), (shown, things, question))
        return PromptPair(clean, corrupt, correct=[f" {drawn[asked]}"], wrong=wrong, spans=spans)


def spans_of(asked: int, *sides: tuple[list[str], list[str], int]) -> dict[str, Any]:
    """Where the colours and objects are; `sides` are the colours, the objects and the one that is asked for."""
    words = [
        {f"color{i}": colors[i] for i in range(3)}
        | {f"object{i}": objects[i] for i in range(3)}
        | {"asked": objects[k]}
        for colors, objects, k in sides
    ]
    found, others = word_spans(*words), [i for i in range(3) if i != asked]
    return {
        "color": found[f"color{asked}"],
        "object": found[f"object{asked}"],
        "other-colors": [found[f"color{i}"] for i in others],
        "other-objects": [found[f"object{i}"] for i in others],
        "asked": found["asked"],
    }


def scene(template: str, colors: list[str], objects: list[str], asked: int) -> str:
    """The prompt about the first three colours and objects."""
    shown = {f"color{i + 1}": colors[i] for i in range(3)} | {f"object{i + 1}": objects[i] for i in range(3)}
    return template.format(**shown, asked=objects[asked])
