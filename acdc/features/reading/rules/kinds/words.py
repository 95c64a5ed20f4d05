"""A feature fires on a word, however it is written: in whatever case, and with a space before it or without."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.features.reading.rules.rule import FEWEST, Rule
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary, word_of
from acdc.features.reading.slices import BEFORE

__all__ = ["PROPOSED", "WordRule"]

MOST_WORDS = 4  # of a rule


@dataclass(frozen=True)
class WordRule:
    """`place` is `on` or `after`; a token that reads as one of the `words` stands there."""

    place: str
    words: tuple[str, ...]

    @property
    def cost(self) -> int:
        return 1 + len(self.words)

    def says(self, seen: Seen) -> Bool[np.ndarray, "row pos"]:
        return np.isin(seen.ago(self.place == "after"), seen.vocabulary.that_read(self.words))

    def text(self, vocabulary: Vocabulary) -> str:
        """In words.

        >>> WordRule("on", ("if",)).text(Vocabulary({}))
        "fires on 'if' in any case"
        """
        *most, last = map(repr, self.words)
        return f"fires {self.place} {', '.join(most) + ' or ' if most else ''}{last} in any case"


def proposed(examples: Seen, text: Seen) -> Iterator[Rule]:
    """Of words that are written in more than one way; of others a token says as much."""
    for place in ("on", "after"):
        ids = examples.ids[:, BEFORE - (place == "after")]
        counts = Counter(word for token in ids[ids >= 0].tolist() if (word := word_of(text.vocabulary.names[token])))
        ranked = sorted((word for word, n in counts.items() if n >= FEWEST), key=lambda word: (-counts[word], word))
        for n in range(1, min(MOST_WORDS, len(ranked)) + 1):
            if len(text.vocabulary.that_read(tuple(ranked[:n]))) > n:
                yield WordRule(place, tuple(ranked[:n]))


PROPOSED = proposed
