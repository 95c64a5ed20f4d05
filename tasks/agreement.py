"""Subject-verb agreement across a distractor (Linzen et al. 2016): "The keys near the cabinet" -> " are"."""

import random

from acdc import PromptPair, Words, WordTask, single_tokens, spellable, word_spans

NOUNS: tuple[tuple[str, str], ...] = tuple(
    (word, word + "s")
    for word in """
    key cabinet book car dog cat boy girl tree picture door table chair horse bird teacher doctor student author farmer
    window bridge river boat lawyer guard pilot driver singer officer customer manager athlete worker house ship
    """.split()
)
LINKS: tuple[str, ...] = ("near", "behind", "beside", "next to", "in front of", "above", "below", "across from")
TEMPLATE = "The {subject} {link} the {other}"
VERBS: tuple[tuple[str, str], ...] = (("is", "are"), ("was", "were"), ("has", "have"))

CORRUPTIONS = ("other-number", "other-subject")
DISTRACTORS = ("any", "opposite", "same")


class Agreement(WordTask):
    """The verb takes the number of the subject, whatever the number of the noun just before it.

    Right answers are all verbs of the subject's number that are single tokens (" is", " was", " has"), wrong ones those
    of the other. Discovery and held-out pairs share no noun and no preposition; the verbs are too few to be split.
    Spans are the `subject`, the `link` and the `distractor`, after which the verb comes.

    Args:
        corruption: `other-number` (the same subject in the other number) or `other-subject` (another noun in the other
            number).
        distractor: Number of the noun before the verb: `any`, `opposite` to the subject's, or the `same`.
    """

    name = "agreement"
    summary = "the verb agrees with the subject, not with the noun before it"
    source = "Linzen et al. 2016 (arXiv 1611.01368), Finlayson et al. 2021 (arXiv 2106.06087)"
    default_model = "acdc-tasks"

    def __init__(self, corruption: str = "other-number", distractor: str = "any") -> None:
        self.corruption = self.choice("corruption", corruption, CORRUPTIONS)
        self.distractor = self.choice("distractor", distractor, DISTRACTORS)

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs, singular and plural in turn."""
        nouns = words.single_tokens(NOUNS, "nouns in two forms", least=3)
        verbs = words.need(single_tokens(words.tokenizer, VERBS), "verbs in two forms that are single tokens")
        spellable(words.tokenizer, [TEMPLATE])
        links = words.spellable(LINKS)
        return [self.pair(nouns, rng.choice(links), i % 2, verbs, rng) for i in range(n)]

    def pair(
        self, nouns: list[tuple[str, str]], link: str, plural: int, verbs: list[tuple[str, str]], rng: random.Random
    ) -> PromptPair:
        """One pair; the two sides differ in the subject."""
        subject, other, third = rng.sample(nouns, 3)
        number = {"any": rng.randint(0, 1), "opposite": 1 - plural, "same": plural}[self.distractor]
        changed = subject if self.corruption == "other-number" else third
        clean, corrupt = (
            TEMPLATE.format(subject=noun, link=link, other=other[number])
            for noun in (subject[plural], changed[1 - plural])
        )
        right, wrong = ([f" {verb[n]}" for verb in verbs] for n in (plural, 1 - plural))
        parts = [
            {"subject": noun, "link": link, "distractor": other[number]}
            for noun in (subject[plural], changed[1 - plural])
        ]
        return PromptPair(clean, corrupt, correct=right, wrong=wrong, spans=word_spans(*parts))
