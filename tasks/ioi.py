"""Indirect object identification (Wang et al. 2022): "When Mary and John went out, John gave a drink to" -> " Mary"."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from acdc import PromptPair, Task, TaskError, single_tokens, spellable, split_words

from .words import IOI_TEMPLATES, NAMES, OBJECTS, PLACES

MIN_NAMES = 5  # two of the prompt, three of its "abc" twin


class Words(NamedTuple):
    """What the prompts of one side are made of."""

    names: list[str]
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
    """Two other names in the same places: the structure stays, the answer's identity goes."""
    one, other = rng.sample(others, 2)
    return Names(one, other, one if names.subject == names.first else other)


CORRUPTIONS: dict[str, Callable[[Names, list[str], random.Random], Names]] = {
    "abc": abc,
    "s2-io-flip": s2_io_flip,
    "random-names": random_names,
}


class IOI(Task):
    """Indirect object identification in ABBA and BABA order, with names that are single tokens.

    Discovery and held-out pairs share no name, place, object or template.

    Args:
        corruption: `abc`, `s2-io-flip` or `random-names`.
        order: `ABBA` (the indirect object is named first), `BABA` or `both`, in turn.
    """

    name = "ioi"
    summary = "who receives the gift: the name that occurs only once"
    source = "Wang et al. 2022, Interpretability in the Wild (arXiv 2211.00593)"

    def __init__(self, corruption: str = "abc", order: str = "both") -> None:
        if corruption not in CORRUPTIONS:
            raise TaskError(f"ioi has no corruption {corruption!r}; it has {', '.join(CORRUPTIONS)}")
        if order not in ("both", "ABBA", "BABA"):
            raise TaskError(f"ioi's order must be ABBA, BABA or both, not {order!r}")
        self.corruption, self.order = corruption, order

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the right answer is the indirect object, the wrong one the subject."""
        return self.draw(tokenizer, n, rng, held_out=False)

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of other names, places, objects and templates."""
        return self.draw(tokenizer, n, rng, held_out=True)

    def draw(self, tokenizer: Any, n: int, rng: random.Random, *, held_out: bool) -> list[PromptPair]:
        """`n` pairs of one side of the words."""
        names = split_words(single_tokens(tokenizer, NAMES), held_out=held_out)
        if len(names) < MIN_NAMES:
            raise TaskError(
                f"ioi needs {MIN_NAMES} first names that are single tokens with their leading space"
                f"{' and held out' if held_out else ''}; the tokenizer of {tokenizer.name_or_path!r} has {len(names)}"
            )
        places, objects, templates = (
            split_words(spellable(tokenizer, words), held_out=held_out) for words in (PLACES, OBJECTS, IOI_TEMPLATES)
        )
        orders = ("ABBA", "BABA") if self.order == "both" else (self.order,)
        words = Words(names, places, objects, templates)
        return [self.pair(words, orders[i % len(orders)], rng) for i in range(n)]

    def pair(self, words: Words, order: str, rng: random.Random) -> PromptPair:
        """One pair; the two sides differ only in names."""
        io, subject = rng.sample(words.names, 2)
        clean = Names(io, subject, subject) if order == "ABBA" else Names(subject, io, subject)
        others = [name for name in words.names if name not in (io, subject)]
        corrupt = CORRUPTIONS[self.corruption](clean, others, rng)
        scene = {"place": rng.choice(words.places), "object": rng.choice(words.objects)}
        template = rng.choice(words.templates)
        clean_text, corrupt_text = (template.format(**side._asdict(), **scene) for side in (clean, corrupt))
        return PromptPair(clean_text, corrupt_text, correct=[f" {io}"], wrong=[f" {subject}"])
