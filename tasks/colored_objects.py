"""Coloured objects (Merullo et al. 2024): "… a red pencil, a blue cup, and a green ball. What color is the cup?"."""

import random
from typing import Any

from acdc import PromptPair, Task, TaskError, single_tokens, spellable, split_words

from .words import COLORED_OBJECTS_TEMPLATES, COLORS, THINGS

CORRUPTIONS = ("other-object", "random-colors", "absent-object")
MIN_COLORS, MIN_OBJECTS = 6, 4  # three of the prompt, and what its twins take


class ColoredObjects(Task):
    """Three objects in three colours; the answer is the colour of the one that is asked for.

    Colours and objects are single tokens. Discovery and held-out pairs share no colour, no object and no scene.

    Args:
        corruption: `other-object` (another of the three is asked for, so the answer flips), `random-colors` (three
            other colours: the structure stays, the answer's identity goes) or `absent-object` (one that isn't there is
            asked for).
    """

    name = "colored-objects"
    summary = "the colour of one of three objects"
    source = "Merullo et al. 2024, Circuit Component Reuse Across Tasks (arXiv 2310.08744)"
    default_model = "acdc-questions"

    def __init__(self, corruption: str = "other-object") -> None:
        if corruption not in CORRUPTIONS:
            raise TaskError(f"colored-objects has no corruption {corruption!r}; it has {', '.join(CORRUPTIONS)}")
        self.corruption = corruption

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the wrong answers are the other colours of either prompt."""
        return self.draw(tokenizer, n, rng, held_out=False)

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of other colours, objects and scenes."""
        return self.draw(tokenizer, n, rng, held_out=True)

    def draw(self, tokenizer: Any, n: int, rng: random.Random, *, held_out: bool) -> list[PromptPair]:
        """`n` pairs of one side of the words."""
        colors = split_words(single_tokens(tokenizer, COLORS), held_out=held_out, every=2)
        objects = split_words(single_tokens(tokenizer, THINGS), held_out=held_out)
        if len(colors) < MIN_COLORS or len(objects) < MIN_OBJECTS:
            raise TaskError(
                f"colored-objects needs {MIN_COLORS} colours and {MIN_OBJECTS} objects that are single tokens with "
                f"their leading space; the tokenizer of {tokenizer.name_or_path!r} has {len(colors)} and {len(objects)}"
                f"{' that are held out' if held_out else ''}"
            )
        templates = split_words(spellable(tokenizer, COLORED_OBJECTS_TEMPLATES), held_out=held_out)
        return [self.pair(colors, objects, rng.choice(templates), rng) for _ in range(n)]

    def pair(self, colors: list[str], objects: list[str], template: str, rng: random.Random) -> PromptPair:
        """One pair; the two sides differ in the object that is asked for, or in all colours."""
        drawn, things = rng.sample(colors, 6), rng.sample(objects, 4)
        asked, other = rng.sample(range(3), 2)
        shown, question = drawn[:3], asked
        if self.corruption == "random-colors":
            shown = drawn[3:]
        else:
            question = other if self.corruption == "other-object" else 3
        clean, corrupt = scene(template, drawn, things, asked), scene(template, shown, things, question)
        wrong = [f" {color}" for color in dict.fromkeys([*drawn[:3], *shown]) if color != drawn[asked]]
        return PromptPair(clean, corrupt, correct=[f" {drawn[asked]}"], wrong=wrong)


def scene(template: str, colors: list[str], objects: list[str], asked: int) -> str:
    """The prompt about the first three colours and objects."""
    shown = {f"color{i + 1}": colors[i] for i in range(3)} | {f"object{i + 1}": objects[i] for i in range(3)}
    return template.format(**shown, asked=objects[asked])
