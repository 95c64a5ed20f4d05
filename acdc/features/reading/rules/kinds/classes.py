"""A feature fires on tokens of a class, or after them: numbers, capitalised words, line breaks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import Rule
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import CLASSES, Vocabulary

__all__ = ["PROPOSED", "ClassRule"]


@dataclass(frozen=True)
class ClassRule:
    """`place` is `on` or `after`; a token of the class stands there."""

    place: str
    kind: str

    @property
    def cost(self) -> int:
        return 2

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        return seen.vocabulary.of_class(self.kind, seen.ago(self.place == "after"))

    def text(self, vocabulary: Vocabulary) -> str:
        """In words.

        >>> ClassRule("after", "a number").text(Vocabulary({}))
        'fires after a number'
        """
        return f"fires {self.place} {self.kind}"


def proposed(examples: Seen, text: Seen) -> Iterator[Rule]:
    yield from (ClassRule(place, kind) for place in ("on", "after") for kind in CLASSES)


PROPOSED = proposed
