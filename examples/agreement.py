"""A task of your own, whole: subject-verb agreement across a noun that may distract.

    acdc discover examples/agreement.py:Agreement

Copy this file and change the words. What a task must have is its `name` and the method `pairs`.
"""

import random
from typing import Any

from acdc import PromptPair, Task, TaskError, single_token

NOUNS = (("key", "keys"), ("book", "books"), ("car", "cars"), ("dog", "dogs"), ("girl", "girls"), ("door", "doors"))
LINKS = ("near", "behind", "beside")


class Agreement(Task):
    """ "The keys near the cabinet" -> " are"; the corrupted prompt has the other number of the first noun."""

    name = "my-agreement"
    summary = "the verb agrees with the subject, not with the noun before it"
    source = "Linzen et al. 2016 (arXiv 1611.01368)"
    metric = "logit_diff"

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs, half of them plural, with one or the other verb as the right answer."""
        nouns = [pair for pair in NOUNS if all(single_token(tokenizer, f" {word}") is not None for word in pair)]
        if len(nouns) < 2:
            raise TaskError("agreement needs at least two nouns whose singular and plural are single tokens")
        return [self.pair(*rng.sample(nouns, 2), plural=i % 2, rng=rng) for i in range(n)]

    def pair(self, subject: tuple[str, str], other: tuple[str, str], plural: int, rng: random.Random) -> PromptPair:
        """One pair; the sides differ in one token."""
        rest = f" {rng.choice(LINKS)} the {rng.choice(other)}"
        return PromptPair(
            clean=f"The {subject[plural]}{rest}",
            corrupt=f"The {subject[1 - plural]}{rest}",
            correct=[(" is", " are")[plural]],
            wrong=[(" are", " is")[plural]],
        )
