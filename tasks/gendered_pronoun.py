"""Gendered pronouns (Mathwin and Corlouer 2023): "So Evan is a really great friend, isn't" -> " he"."""

import random
from typing import Any

from acdc import PromptPair, Task, TaskError, single_tokens, spellable, split_words

from .words import FEMALE_NAMES, MALE_NAMES, PRONOUN_TEMPLATES

CORRUPTIONS = ("other-gender", "no-name")
PRONOUNS = (" he", " she")


class GenderedPronoun(Task):
    """The tag question after a statement about a named person takes the pronoun of that name.

    Discovery and held-out pairs share no name and no template.

    Args:
        corruption: `other-gender` (a name of the other gender, so the answer flips) or `no-name` (" this" in its place,
            so nobody is named).
    """

    name = "gendered-pronoun"
    summary = "the pronoun of a named person"
    source = "Mathwin and Corlouer 2023; found with ACDC (arXiv 2304.14997)"
    default_model = "acdc-tasks"

    def __init__(self, corruption: str = "other-gender") -> None:
        if corruption not in CORRUPTIONS:
            raise TaskError(f"gendered-pronoun has no corruption {corruption!r}; it has {', '.join(CORRUPTIONS)}")
        self.corruption = corruption

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs, of men and women in turn; the wrong answer is the other pronoun."""
        return self.draw(tokenizer, n, rng, held_out=False)

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of other names and templates."""
        return self.draw(tokenizer, n, rng, held_out=True)

    def draw(self, tokenizer: Any, n: int, rng: random.Random, *, held_out: bool) -> list[PromptPair]:
        """`n` pairs of one side of the names and templates."""
        names = [
            split_words(single_tokens(tokenizer, words), held_out=held_out) for words in (MALE_NAMES, FEMALE_NAMES)
        ]
        if not all(names):
            raise TaskError(
                f"gendered-pronoun needs at least four names of men and four of women that are single tokens with "
                f"their leading space; too few are in the tokenizer of {tokenizer.name_or_path!r}"
            )
        templates = split_words(spellable(tokenizer, PRONOUN_TEMPLATES), held_out=held_out)
        return [self.pair(names, i % 2, rng.choice(templates), rng) for i in range(n)]

    def pair(self, names: list[list[str]], gender: int, template: str, rng: random.Random) -> PromptPair:
        """One pair; the two sides differ in the name."""
        other = rng.choice(names[1 - gender]) if self.corruption == "other-gender" else "this"
        clean, corrupt = (template.format(name=name) for name in (rng.choice(names[gender]), other))
        return PromptPair(clean, corrupt, correct=[PRONOUNS[gender]], wrong=[PRONOUNS[1 - gender]])
