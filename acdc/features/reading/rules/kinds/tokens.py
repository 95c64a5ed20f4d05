"""A feature fires on a token, or one of some, or on whatever follows it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import Rule, common
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary
from acdc.features.reading.slices import BEFORE

__all__ = ["PROPOSED", "TokenRule"]

MOST_TOKENS = 5  # of a rule


@dataclass(frozen=True)
class TokenRule:
    """`place` is `on` or `after`; one of `tokens` stands there."""

    place: str
    tokens: tuple[int, ...]

    @property
    def cost(self) -> int:
        return len(self.tokens) + (len(self.tokens) > 1)

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        return np.isin(seen.ago(self.place == "after"), self.tokens)

    def text(self, vocabulary: Vocabulary) -> str:
        """In words.

        >>> TokenRule("on", (3,)).text(Vocabulary({3: " the"}))
        "fires on ' the'"
        """
        return f"fires {self.place} {vocabulary.listed(self.tokens)}"


def proposed(examples: Seen, text: Seen) -> Iterator[Rule]:
    listed = {place: common(examples.ids[:, BEFORE - (place == "after")], MOST_TOKENS) for place in ("on", "after")}
    for n in range(1, MOST_TOKENS + 1):
        yield from (TokenRule(place, tokens[:n]) for place, tokens in listed.items() if len(tokens) >= n)


PROPOSED = proposed
