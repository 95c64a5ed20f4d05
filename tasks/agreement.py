"""Subject-verb agreement across a distractor (Linzen et al. 2016): "The keys near the cabinet" -> " are"."""

import random
from typing import Any

from acdc import PromptPair, Task, TaskError, single_token, spellable, split_words

from .words import AGREEMENT_TEMPLATE, LINKS, NOUNS, VERBS

CORRUPTIONS = ("other-number", "other-subject")
DISTRACTORS = ("any", "opposite", "same")


class Agreement(Task):
    """The verb takes the number of the subject, whatever the number of the noun just before it.

    Right answers are all verbs of the subject's number that are single tokens (" is", " was", " has"), wrong ones those
    of the other. Discovery and held-out pairs share no noun and no preposition; the verbs are too few to be split.

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
        if corruption not in CORRUPTIONS:
            raise TaskError(f"agreement has no corruption {corruption!r}; it has {', '.join(CORRUPTIONS)}")
        if distractor not in DISTRACTORS:
            raise TaskError(f"agreement's distractor must be {', '.join(DISTRACTORS)}, not {distractor!r}")
        self.corruption, self.distractor = corruption, distractor

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs, singular and plural in turn."""
        return self.draw(tokenizer, n, rng, held_out=False)

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of other nouns and prepositions."""
        return self.draw(tokenizer, n, rng, held_out=True)

    def draw(self, tokenizer: Any, n: int, rng: random.Random, *, held_out: bool) -> list[PromptPair]:
        """`n` pairs of one side of the nouns and prepositions."""
        nouns = split_words(both_single(tokenizer, NOUNS), held_out=held_out)
        verbs = both_single(tokenizer, VERBS)
        if len(nouns) < 3 or not verbs:
            raise TaskError(
                "agreement needs three nouns and a verb whose singular and plural are single tokens with their leading "
                f"space; the tokenizer of {tokenizer.name_or_path!r} has {len(nouns)} "
                f"{'held-out ' if held_out else ''}nouns and {len(verbs)} verbs"
            )
        spellable(tokenizer, [AGREEMENT_TEMPLATE])
        links = split_words(spellable(tokenizer, LINKS), held_out=held_out)
        return [self.pair(nouns, rng.choice(links), i % 2, verbs, rng) for i in range(n)]

    def pair(
        self, nouns: list[tuple[str, str]], link: str, plural: int, verbs: list[tuple[str, str]], rng: random.Random
    ) -> PromptPair:
        """One pair; the two sides differ in the subject."""
        subject, other, third = rng.sample(nouns, 3)
        number = {"any": rng.randint(0, 1), "opposite": 1 - plural, "same": plural}[self.distractor]
        changed = subject if self.corruption == "other-number" else third
        clean, corrupt = (
            AGREEMENT_TEMPLATE.format(subject=noun, link=link, other=other[number])
            for noun in (subject[plural], changed[1 - plural])
        )
        right, wrong = ([f" {verb[n]}" for verb in verbs] for n in (plural, 1 - plural))
        return PromptPair(clean, corrupt, correct=right, wrong=wrong)


def both_single(tokenizer: Any, words: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The words whose singular and plural are single tokens with the space before them."""
    return [forms for forms in words if all(single_token(tokenizer, f" {form}") is not None for form in forms)]
