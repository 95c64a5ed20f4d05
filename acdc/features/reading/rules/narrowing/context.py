"""A rule narrowed to where one or two tokens stand among those before."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import Rule, before_firing
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary
from acdc.features.reading.slices import BEFORE

__all__ = ["NARROWED", "InContext"]

REACHES = (5, BEFORE)
MOST, MOST_PAIRED = 6, 3  # tokens that are tried, alone and in pairs


@dataclass(frozen=True)
class InContext:
    """Each token of `context` is one of the `reach` before."""

    rule: Rule
    context: tuple[int, ...]
    reach: int = BEFORE
    place: str = ""

    @property
    def cost(self) -> int:
        return self.rule.cost + 1 + len(self.context)

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        said = self.rule.says(seen)
        for token in self.context:
            said = said & seen.within(seen.ids == token, self.reach)
        return said

    def text(self, vocabulary: Vocabulary) -> str:
        """In words."""
        names = " and ".join(repr(vocabulary.names[token]) for token in self.context)
        verb = "is" if len(self.context) == 1 else "are"
        return f"{self.rule.text(vocabulary)} where {names} {verb} among the {self.reach} tokens before"


def narrowed(rule: Rule, said: Seen, text: Seen) -> Iterator[Rule]:
    tokens = before_firing(said, text, MOST) if len(said.ids) else ()
    for reach in REACHES[::-1]:
        yield from (InContext(rule, (token,), reach) for token in tokens)
    yield from (InContext(rule, pair) for pair in combinations(tokens[:MOST_PAIRED], 2))


NARROWED = narrowed
