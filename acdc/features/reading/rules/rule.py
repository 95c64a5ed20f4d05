"""What a rule is, and how well it fits."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int

from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary
from acdc.features.reading.slices import BEFORE

__all__ = ["FEWEST", "Fit", "Rule", "before_firing", "common"]

FEWEST = 2  # examples that each token of a rule stands for


@runtime_checkable
class Rule(Protocol):
    """An explicit sentence of when a feature fires."""

    @property
    def cost(self) -> int:
        """How much it says: of two rules that fit, the cheaper is the simpler. One token costs 1."""
        ...

    @property
    def place(self) -> str:
        """`on` where it is about the token itself, and can be narrowed by what stands before; else `after` or empty."""
        ...

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        """Where the feature is to fire; outside of a window anything."""
        ...

    def text(self, vocabulary: Vocabulary) -> str:
        """In words."""
        ...


@dataclass(frozen=True)
class Fit:
    """How well a rule fits: shares of the feature's tokens, and of the rule's."""

    recall: float
    precision: float

    @property
    def f1(self) -> float:
        both = self.recall + self.precision
        return 0.0 if both == 0 else 2 * self.recall * self.precision / both


def common(found: Int[np.ndarray, " example"], most: int) -> tuple[int, ...]:
    """The most frequent, each with enough examples; of equals the smallest number first."""
    counts = Counter(found[found >= 0].tolist())
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(token for token, n in ranked[:most] if n >= FEWEST)


def before_firing(examples: Seen, text: Seen, most: int) -> tuple[int, ...]:
    """Tokens that are among those before firing ones much more often than among those before any, the most so first."""
    counts = Counter(token for row in examples.ids[:, :BEFORE].tolist() for token in {*row} - {-1})
    by_chance = 1 - (1 - text.rate) ** BEFORE
    excess = {token: n / len(examples.ids) - float(by_chance[token]) for token, n in counts.items() if n >= FEWEST}
    return tuple(sorted((token for token, each in excess.items() if each > 0), key=lambda t: (-excess[t], t))[:most])
