"""A rule narrowed to where a token of a class stands right before: a line break in the middle of a sentence."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import Rule
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import CLASSES, Vocabulary

__all__ = ["NARROWED", "PrecededByClass"]


@dataclass(frozen=True)
class PrecededByClass:
    """Right before the token stands one of the class."""

    rule: Rule
    kind: str
    place: str = ""

    @property
    def cost(self) -> int:
        return self.rule.cost + 2

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        return self.rule.says(seen) & seen.vocabulary.of_class(self.kind, seen.ago(1))

    def text(self, vocabulary: Vocabulary) -> str:
        """In words."""
        return f"{self.rule.text(vocabulary)} right after {self.kind}"


def narrowed(rule: Rule, said: Seen, text: Seen) -> Iterator[Rule]:
    yield from (PrecededByClass(rule, kind) for kind in CLASSES)


NARROWED = narrowed
