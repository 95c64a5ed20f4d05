"""A feature fires at a place of a window, whatever stands there: on its first tokens, or its last one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import Rule
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary

__all__ = ["PROPOSED", "FirstTokensRule", "LastTokenRule"]

FIRST = (2, 3, 5, 10)


@dataclass(frozen=True)
class FirstTokensRule:
    """The token is one of the first `n` of its window, of which those that aren't counted are some."""

    n: int
    place: str = "on"

    @property
    def cost(self) -> int:
        return 2

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        return (seen.before >= 0) & (seen.before < self.n)

    def text(self, vocabulary: Vocabulary) -> str:
        """In words.

        >>> FirstTokensRule(5).text(Vocabulary({}))
        'fires on the first 5 tokens of a window'
        """
        return f"fires {self.place} the first {self.n} tokens of a window"


@dataclass(frozen=True)
class LastTokenRule:
    """The token is its window's last: a task's target, where windows are prompts."""

    place: str = "on"

    @property
    def cost(self) -> int:
        return 2

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        return seen.behind == 0

    def text(self, vocabulary: Vocabulary) -> str:
        """In words."""
        return f"fires {self.place} the last token of a window"


def proposed(examples: Seen, text: Seen) -> Iterator[Rule]:
    yield from map(FirstTokensRule, FIRST)
    yield LastTokenRule()


PROPOSED = proposed
