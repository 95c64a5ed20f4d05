"""A feature fires on all tokens within some of a token: on what a definition, a list or a quotation goes on with."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import Rule, before_firing
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary
from acdc.features.reading.slices import BEFORE

__all__ = ["PROPOSED", "NearbyRule"]

REACHES = (3, 5, 10, BEFORE)
MOST = 4  # tokens that are tried


@dataclass(frozen=True)
class NearbyRule:
    """The token is one of the `reach` before the one that the feature fires on."""

    token: int
    reach: int
    place: str = "after"

    @property
    def cost(self) -> int:
        return 3

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        return seen.within(seen.ids == self.token, self.reach)

    def text(self, vocabulary: Vocabulary) -> str:
        """In words.

        >>> NearbyRule(3, 5).text(Vocabulary({3: " def"}))
        "fires within 5 tokens after ' def'"
        """
        return f"fires within {self.reach} tokens after {vocabulary.names[self.token]!r}"


def proposed(examples: Seen, text: Seen) -> Iterator[Rule]:
    for token in before_firing(examples, text, MOST):
        yield from (NearbyRule(token, reach) for reach in REACHES)


PROPOSED = proposed
