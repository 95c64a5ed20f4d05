"""What `acdc-small` is trained on: four kinds of sequences, and which of their words are held out.

Every draw gives `Sentence(ids, answers)`: the token ids, and the positions whose token is the behaviour's answer.
"""

import random
from typing import NamedTuple

from acdc_tasks import agreement, ioi
from acdc_tasks.greater_than import CENTURIES
from acdc_tasks.greater_than import NOUNS as EVENT_NOUNS
from acdc_tasks.greater_than import TEMPLATE as YEAR_TEMPLATE
from acdc_tasks.ioi import NAMES, OBJECTS, PLACES
from tokenizers import Tokenizer
from word_tokenizer import pieces

HELD_OUT_NAMES = NAMES[-15:]  # in training only where no name repeats ("abc" sentences) and among random tokens
TRAIN_NAMES = NAMES[:-15]
HELD_OUT_PLACES = PLACES[-4:]  # in training only where no name repeats, and among random tokens
TRAIN_PLACES = PLACES[:-4]
HELD_OUT_NOUNS = EVENT_NOUNS[::10]  # in training only among random tokens
TRAIN_NOUNS = tuple(noun for noun in EVENT_NOUNS if noun not in HELD_OUT_NOUNS)

AGREEMENT_NOUNS = agreement.NOUNS[:24]
AGREEMENT_LINKS = ("near", "behind", "beside", "next to", "in front of")
AGREEMENT_ENDS = ("new", "old", "red", "small", "big")
MAX_HALF, LONG_HALF = 16, 31


class Sentence(NamedTuple):
    """Token ids, and the positions among them that hold an answer."""

    ids: list[int]
    answers: list[int]


def vocabulary() -> list[str]:
    """Every word of every kind of sequence, and all two-digit numbers with and without a leading space."""
    texts = [*ioi.TEMPLATES, YEAR_TEMPLATE, ".", *(f" {link}" for link in AGREEMENT_LINKS)]
    words = [piece for text in texts for piece in pieces(strip_slots(text))]
    fillers = [*NAMES, *PLACES, *OBJECTS, *EVENT_NOUNS, *AGREEMENT_ENDS, "is", "are", "the"]
    fillers += [noun for pair in AGREEMENT_NOUNS for noun in pair]
    numbers = [f" {century}" for century in CENTURIES] + [f"{year:02d}" for year in range(100)]
    return sorted({*words, *(f" {filler}" for filler in fillers)} - {" "}) + numbers


def strip_slots(template: str) -> str:
    """The template without its `{slots}`."""
    return "".join(part.split("}")[-1].rstrip() or part.split("}")[-1].strip() for part in template.split("{"))


def is_held_out_pair(one: str, other: str) -> bool:
    """One in ten unordered pairs of names appears in no training sentence."""
    return (NAMES.index(one) + NAMES.index(other)) % 10 == 0


def is_held_out_year(century: int, start: int) -> bool:
    """One in ten (century, start year) combinations appears in no training sentence."""
    return (7 * century + start) % 10 == 0


def draw_pair(rng: random.Random, names: tuple[str, ...], *, held_out: bool) -> tuple[str, str]:
    """Two different names whose pair is, or is not, held out."""
    while True:
        one, other = rng.sample(names, 2)
        if is_held_out_pair(one, other) == held_out:
            return one, other


def ioi_text(rng: random.Random, indirect: str, subject: str, places: tuple[str, ...]) -> tuple[str, str]:
    """A prompt in ABBA or BABA order and its answer, the indirect object with its leading space."""
    first, second = rng.choice([(indirect, subject), (subject, indirect)])
    prompt = rng.choice(ioi.TEMPLATES).format(
        first=first, second=second, subject=subject, place=rng.choice(places), object=rng.choice(OBJECTS)
    )
    return prompt, f" {indirect}"


def abc_text(rng: random.Random) -> tuple[str, str]:
    """A prompt whose actor is a third name: either of the first two may follow."""
    first, second, third = rng.sample(NAMES, 3)
    prompt = rng.choice(ioi.TEMPLATES).format(
        first=first, second=second, subject=third, place=rng.choice(PLACES), object=rng.choice(OBJECTS)
    )
    return prompt, f" {rng.choice([first, second])}"


def year_text(rng: random.Random, nouns: tuple[str, ...], *, held_out: bool) -> tuple[str, str, int]:
    """A prompt, a later year of the same century, uniformly drawn, and the start year."""
    while True:
        century, start = rng.choice(CENTURIES), rng.randint(1, 98)
        if is_held_out_year(century, start) == held_out:
            break
    prompt = YEAR_TEMPLATE.format(noun=rng.choice(nouns), century=century, start=f"{start:02d}")
    return prompt, f"{rng.randint(start + 1, 99):02d}", start


def agreement_text(rng: random.Random, *, held_out: bool) -> tuple[str, str]:
    """`The keys near the cabinet` and ` are`; one in ten (subject, other noun) combinations is held out."""
    while True:
        subject, other = rng.sample(range(len(AGREEMENT_NOUNS)), 2)
        if ((subject + 2 * other) % 10 == 0) == held_out:
            break
    plural, link = rng.randint(0, 1), rng.choice(AGREEMENT_LINKS)
    prompt = f"The {AGREEMENT_NOUNS[subject][plural]} {link} the {rng.choice(AGREEMENT_NOUNS[other])}"
    return prompt, (" is", " are")[plural]


def repeated(rng: random.Random, n_words: int, half: int, *, first_id: int = 3) -> Sentence:
    """`half` different random words, twice; the answers are the second copy from its second word on."""
    words = rng.sample(range(first_id, first_id + n_words), half)
    return Sentence(words + words, list(range(half + 1, 2 * half)))


def written(tokenizer: Tokenizer, prompt: str, answer: str, end: str = ".") -> Sentence:
    """A prompt, its answer and what follows, as token ids."""
    ids, n_prompt = tokenizer.encode(prompt + answer + end).ids, len(tokenizer.encode(prompt).ids)
    return Sentence(ids, [n_prompt])


def training_sentence(rng: random.Random, tokenizer: Tokenizer, *, long: bool) -> Sentence:
    """One training sequence: 35% IOI, 10% "abc", 25% years, 8% agreement, 22% repeated random words."""
    kind = rng.random()
    if kind < 0.35:
        pair = draw_pair(rng, TRAIN_NAMES, held_out=False)
        return written(tokenizer, *ioi_text(rng, *pair, TRAIN_PLACES))
    if kind < 0.45:
        return written(tokenizer, *abc_text(rng))
    if kind < 0.70:
        return written(tokenizer, *year_text(rng, TRAIN_NOUNS, held_out=False)[:2])
    if kind < 0.78:
        return written(tokenizer, *agreement_text(rng, held_out=False), f" {rng.choice(AGREEMENT_ENDS)}.")
    half = rng.randint(3, LONG_HALF if long else MAX_HALF)
    return repeated(rng, tokenizer.get_vocab_size() - 3, half)
