"""A feature fires after a phrase: some tokens that follow one another."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import FEWEST, Rule
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary
from acdc.features.reading.slices import BEFORE

__all__ = ["PROPOSED", "PhraseRule"]

LENGTHS = (2, 3)
MOST = 2  # phrases of each length that are tried


@dataclass(frozen=True)
class PhraseRule:
    """The tokens stand right before the one that the feature fires on."""

    tokens: tuple[int, ...]
    place: str = "after"

    @property
    def cost(self) -> int:
        return 1 + len(self.tokens)

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        n = len(self.tokens)
        return np.all([seen.ago(n - i) == token for i, token in enumerate(self.tokens)], axis=0)

    def text(self, vocabulary: Vocabulary) -> str:
        """In words.

        >>> PhraseRule((3, 5)).text(Vocabulary({3: " out", 5: " of"}))
        "fires after ' out of'"
        """
        return f"fires {self.place} {vocabulary.joined(self.tokens)}"


def proposed(examples: Seen, text: Seen) -> Iterator[Rule]:
    for n in LENGTHS:
        counts = Counter(tuple(row) for row in examples.ids[:, BEFORE - n : BEFORE].tolist() if min(row) >= 0)
        yield from (PhraseRule(phrase) for phrase, often in counts.most_common(MOST) if often >= FEWEST)


PROPOSED = proposed
