"""Greater-than (Hanna et al. 2023): "The war lasted from the year 1732 to the year 17" -> "33" to "99"."""

import random
from typing import Any, NamedTuple

from acdc import PromptPair, TaskError, Words, WordTask, continuation, single_token, spellable, token_places

# The nouns are those of Hanna et al. 2023.
NOUNS: tuple[str, ...] = tuple(
    """
    abduction accord affair agreement appraisal assaults assessment attack attempts campaign captivity case challenge
    chaos clash collaboration coma competition confrontation consequence conspiracy construction consultation contact
    contract convention cooperation custody deal decline decrease demonstrations development disagreement disorder
    dispute domination dynasty effect effort employment endeavor engagement epidemic evaluation exchange existence
    expansion expedition experiments fall fame flights friendship growth hardship hostility illness impact imprisonment
    improvement incarceration increase insurgency invasion investigation journey kingdom marriage modernization
    negotiation notoriety obstruction operation order outbreak outcome overhaul patrols pilgrimage plague plan practice
    process program progress project pursuit quest raids reforms reign relationship retaliation riot rise rivalry
    romance rule sanctions shift siege slump stature stint strikes study test testing tests therapy tour tradition
    treaty trial trip unemployment voyage warfare work
    """.split()
)
TEMPLATE = "The {noun} lasted from the year {century}{start} to the year {century}"
CENTURIES: tuple[int, ...] = (11, 12, 13, 14, 15, 16, 17)
YEARS = range(2, 99)  # of a century; 01 is the corrupted one, and 99 has none after it


class Layout(NamedTuple):
    """How many digits of the second year stand in the prompt; the others are the next token.

    Attributes:
        parts: What the parts of a year are called: those digits, and the token after them.
    """

    given: int
    parts: tuple[str, str]

    def prompt(self, noun: str, century: int, start: int, tens: int) -> str:
        """The sentence, up to the second year's given digits; `tens` are those of the second year."""
        text = TEMPLATE.format(noun=noun, century=century, start=f"{start:02d}")
        return text + f"{tens}" * (self.given - 2)

    def answers(self, start: int) -> tuple[list[str], list[str]]:
        """The next token in later years, and in the others."""
        known, ends = (0, 100) if self.given == 2 else (start - start % 10, 10)
        texts = {known + end: f"{end:0{4 - self.given}d}" for end in range(ends)}
        later = [text for year, text in texts.items() if year > start]
        return later, [text for year, text in texts.items() if year <= start]

    def fits(self, tokenizer: Any, century: int, year: int) -> bool:
        """Whether the tokenizer writes this year's last digits as a token of their own."""
        digits = f"{century}{year:02d}"
        start, token = continuation(tokenizer, f" {digits[: self.given]}"), digits[self.given :]
        return continuation(tokenizer, f" {digits}") == [*start, single_token(tokenizer, token)]


LAYOUTS = {"two": Layout(2, ("XX", "YY")), "one": Layout(3, ("XXY", "Y"))}


class GreaterThan(WordTask):
    """A war's last year comes after its first; the corrupted prompt starts in year 01, after which any year may come.

    The answer is the next token: the year's last two digits where the tokenizer writes these as one, as GPT-2's splits
    " 1732" into " 17" and "32"; else its last digit, as in "from the year 1732 to the year 173", where every digit is a
    token (SmolLM, Gemma, Llama 2), or all but the last (Llama 3: " ", "173", "2"). Years that the tokenizer writes
    otherwise are left out. Discovery and held-out pairs share no noun and no start year of a century; the centuries and
    the sentence are too few to be split. Spans are the `noun` and the parts of the first year, `XX` and `YY` (or `XXY`
    and `Y`, where one digit is asked for).

    Args:
        digits: How many the answer has: `two`, `one`, or `auto`, the first of these that fits the tokenizer.
    """

    name = "greater-than"
    summary = "the second year of a span is later than the first"
    source = "Hanna et al. 2023, How does GPT-2 compute greater-than? (arXiv 2305.00586)"
    metric = "prob_diff"

    def __init__(self, digits: str = "auto") -> None:
        self.choice("digits", digits, ("auto", *LAYOUTS))
        self.layouts = list(LAYOUTS.values()) if digits == "auto" else [LAYOUTS[digits]]

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; right answers are later years, wrong ones the start year and those before it."""
        for layout in self.layouts:
            if years := usable(words, layout):
                break
        else:
            tokenizer = words.tokenizer
            pieces = tokenizer.convert_ids_to_tokens(tokenizer.encode(" 1732", add_special_tokens=False))
            raise TaskError(
                "greater-than needs a tokenizer that splits a year into two two-digit tokens (' 17', '32'), or splits "
                f"off its last digit (digits=one); that of {tokenizer.name_or_path!r} splits ' 1732' into {pieces}"
            )
        spellable(words.tokenizer, [TEMPLATE])
        nouns = words.spellable(NOUNS)
        return [self.pair(words.tokenizer, layout, rng.choice(nouns), *rng.choice(years)) for _ in range(n)]

    def pair(self, tokenizer: Any, layout: Layout, noun: str, century: int, start: int) -> PromptPair:
        """One pair; the two sides differ only in the start year."""
        clean, corrupt = (layout.prompt(noun, century, year, tens=start // 10) for year in (start, 1))
        later, earlier = layout.answers(start)
        year, (head, tail) = token_places(tokenizer, clean, f"{century}{start:02d}")[0], layout.parts
        spans = {"noun": noun, head: year[:-1], tail: year[-1:]}
        return PromptPair(clean, corrupt, correct=later, wrong=earlier, spans=spans)


def usable(words: Words, layout: Layout) -> list[tuple[int, int]]:
    """The centuries and start years that the tokenizer writes in this layout; none, if an answer isn't one token."""
    first = 2 if layout.given == 2 else 10  # a last digit says little of a year so near to the corrupted one
    if any(single_token(words.tokenizer, text) is None for side in layout.answers(first) for text in side):
        return []
    return [
        (century, year)
        for century in CENTURIES
        if layout.fits(words.tokenizer, century, 1)
        for year in words.split(YEARS)
        if year >= first and layout.answers(year)[0] and layout.fits(words.tokenizer, century, year)
    ]
