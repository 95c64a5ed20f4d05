"""A feature fires on a token that stood before, or after one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import Rule
from acdc.features.reading.rules.seen import REPEATED, Seen
from acdc.features.reading.rules.vocabulary import Vocabulary

__all__ = ["PROPOSED", "RepetitionRule"]


@dataclass(frozen=True)
class RepetitionRule:
    """`place` is `on` or `after`; what stands there is among the 19 tokens before it."""

    place: str

    @property
    def cost(self) -> int:
        return 2

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        if self.place == "on":
            return seen.repeated
        return np.pad(seen.repeated, ((0, 0), (1, 0)))[:, :-1]

    def text(self, vocabulary: Vocabulary) -> str:
        """In words.

        >>> RepetitionRule("on").text(Vocabulary({}))
        'fires on a token that is among the 19 before it'
        """
        return f"fires {self.place} a token that is among the {REPEATED} before it"


def proposed(examples: Seen, text: Seen) -> Iterator[Rule]:
    yield from (RepetitionRule(place) for place in ("on", "after"))


PROPOSED = proposed
