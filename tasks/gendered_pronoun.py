"""Gendered pronouns (Mathwin and Corlouer 2023): "So Evan is a really great friend, isn't" -> " he"."""

import random

from acdc import PromptPair, Words, WordTask

MALE_NAMES: tuple[str, ...] = tuple(
    """
    John David Mark Paul Ryan Gary Jack Sean Carl Joe Evan Michael Christopher Matthew Joshua Daniel James Robert Joseph
    Andrew Brandon Jason Justin William Jonathan Brian Nicholas Anthony Eric Adam Kevin Steven Thomas Timothy Kyle
    Richard Jeffrey Jeremy Benjamin Aaron Charles Jacob Stephen Patrick Nathan Dustin Tyler Scott Gregory Travis
    Kenneth Bryan Jose Alexander Bradley Samuel Peter George Henry Frank Edward
    """.split()
)
FEMALE_NAMES: tuple[str, ...] = tuple(
    """
    Mary Lisa Anna Sarah Amy Susan Jessica Ashley Jennifer Amanda Stephanie Nicole Heather Elizabeth Megan Melissa
    Christina Rachel Laura Lauren Amber Brittany Danielle Kimberly Crystal Michelle Tiffany Emily Rebecca Erin Samantha
    Sara Angela Katherine Andrea Erica Lindsey Kristen Katie Vanessa Courtney Christine Alicia Allison Emma Alice Julia
    Maria Linda Barbara Margaret Helen Ruth Nancy Diana Victoria Grace Hannah Claire Sandra
    """.split()
)

# The first five are those of Mathwin and Corlouer 2023; the others are ours.
TEMPLATES: tuple[str, ...] = (
    "So {name} is a really great friend, isn't",
    "So {name} is such a good cook, isn't",
    "So {name} is a very good athlete, isn't",
    "So {name} is a really nice person, isn't",
    "So {name} is such a funny person, isn't",
    "So {name} is a bit of a genius, isn't",
    "So {name} is really quite clever, isn't",
    "So {name} is always very polite, isn't",
    "So {name} is rather good at chess, isn't",
    "So {name} is the best teacher here, isn't",
    "So {name} is never late for work, isn't",
    "So {name} is a very patient listener, isn't",
)

CORRUPTIONS = ("other-gender", "no-name")
PRONOUNS = (" he", " she")


class GenderedPronoun(WordTask):
    """The tag question after a statement about a named person takes the pronoun of that name.

    Discovery and held-out pairs share no name and no template. The `name` is a span.

    Args:
        corruption: `other-gender` (a name of the other gender, so the answer flips) or `no-name` (" this" in its place,
            so nobody is named).
    """

    name = "gendered-pronoun"
    summary = "the pronoun of a named person"
    source = "Mathwin and Corlouer 2023; found with ACDC (arXiv 2304.14997)"
    default_model = "acdc-tasks"

    def __init__(self, corruption: str = "other-gender") -> None:
        self.corruption = self.choice("corruption", corruption, CORRUPTIONS)

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs, of men and women in turn; the wrong answer is the other pronoun."""
        men = words.single_tokens(MALE_NAMES, "names of men")
        women = words.single_tokens(FEMALE_NAMES, "names of women")
        templates = words.spellable(TEMPLATES)
        return [self.pair([men, women], i % 2, rng.choice(templates), rng) for i in range(n)]

    def pair(self, names: list[list[str]], gender: int, template: str, rng: random.Random) -> PromptPair:
        """One pair; the two sides differ in the name."""
        other = rng.choice(names[1 - gender]) if self.corruption == "other-gender" else "this"
        name = rng.choice(names[gender])
        clean, corrupt = (template.format(name=each) for each in (name, other))
        right, wrong = PRONOUNS[gender], PRONOUNS[1 - gender]
        return PromptPair(clean, corrupt, correct=[right], wrong=[wrong], spans={"name": (name, other)})
