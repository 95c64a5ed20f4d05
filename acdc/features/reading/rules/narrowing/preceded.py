"""A rule narrowed to where certain tokens stand right before."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import FEWEST, Rule, common
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary
from acdc.features.reading.slices import BEFORE

__all__ = ["NARROWED", "Preceded"]

MOST_TOKENS = 3  # of which one stands before


@dataclass(frozen=True)
class Preceded:
    """Right before the token stands one of some (`phrase` holds tuples, one for each place), the nearest last."""

    rule: Rule
    phrase: tuple[tuple[int, ...], ...]
    place: str = ""

    @property
    def cost(self) -> int:
        return self.rule.cost + 1 + sum(map(len, self.phrase))

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        said = self.rule.says(seen)
        for i, tokens in enumerate(self.phrase):
            said = said & np.isin(seen.ago(len(self.phrase) - i), tokens)
        return said

    def text(self, vocabulary: Vocabulary) -> str:
        """In words."""
        single = all(len(tokens) == 1 for tokens in self.phrase)
        before = vocabulary.joined(t for t, *_ in self.phrase) if single else vocabulary.listed(self.phrase[-1])
        return f"{self.rule.text(vocabulary)} right after {before}"


def narrowed(rule: Rule, said: Seen, text: Seen) -> Iterator[Rule]:
    tokens = common(said.ids[:, BEFORE - 1], MOST_TOKENS)
    yield from (Preceded(rule, (tokens[:n],)) for n in range(1, len(tokens) + 1))
    pairs = Counter(tuple(row) for row in said.ids[:, BEFORE - 2 : BEFORE].tolist() if min(row) >= 0)
    yield from (Preceded(rule, ((a,), (b,))) for (a, b), n in pairs.most_common(1) if n >= FEWEST)


NARROWED = narrowed
