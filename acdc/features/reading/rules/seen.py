"""Text as rules see it: tokens, and where each stands in its window."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from acdc.features.reading.rules.vocabulary import Vocabulary
from acdc.features.reading.slices import BEFORE, around

__all__ = ["REPEATED", "Seen"]

REPEATED = BEFORE - 1  # how far back a token counts as repeated: slices show it of the token before theirs too


@dataclass(frozen=True, eq=False)
class Seen:
    """Rows of tokens: whole windows of a text, or slices of them.

    Attributes:
        ids: The tokens; -1 outside of a window.
        before, behind: How many tokens of its window stand before each, and behind it; -1 outside.
    """

    ids: Int[np.ndarray, "row pos"]
    before: Int[np.ndarray, "row pos"]
    behind: Int[np.ndarray, "row pos"]
    vocabulary: Vocabulary

    @classmethod
    def whole(cls, ids: Int[np.ndarray, "row pos"], vocabulary: Vocabulary) -> "Seen":
        """Of whole windows."""
        real = ids >= 0
        before = np.where(real, real.cumsum(1) - 1, -1)
        return cls(ids, before, np.where(real, real.sum(1, keepdims=True) - 1 - before, -1), vocabulary)

    def slices(self, where: Int[np.ndarray, " slice"]) -> "Seen":
        """Of these windows, the slices around tokens, numbered `row * width + column`."""
        ids, before, behind = (around(x, where) for x in (self.ids, self.before, self.behind))
        return Seen(ids, before, behind, self.vocabulary)

    def rows(self, which: Bool[np.ndarray, " row"]) -> "Seen":
        """Some of the rows."""
        return Seen(self.ids[which], self.before[which], self.behind[which], self.vocabulary)

    def ago(self, by: int) -> Int[np.ndarray, "row pos"]:
        """What stands so many tokens before each."""
        return self.ids if not by else np.pad(self.ids, ((0, 0), (by, 0)), constant_values=-1)[:, : self.ids.shape[1]]

    def within(self, found: Bool[np.ndarray, "row pos"], reach: int) -> Bool[np.ndarray, "row pos"]:
        """Whether one of so many tokens before each is one that was found."""
        total = np.pad(found.cumsum(1), ((0, 0), (reach + 1, 0)))
        width = found.shape[1]
        return total[:, reach : reach + width] > total[:, :width]

    @cached_property
    def rate(self) -> Float[np.ndarray, " ids"]:
        """How large a share of the text each token is."""
        counts = np.bincount(self.ids[self.ids >= 0], minlength=max(self.vocabulary.names, default=0) + 1)
        return counts / max(1, counts.sum())

    @cached_property
    def repeated(self) -> Bool[np.ndarray, "row pos"]:
        """Where a token is among the `REPEATED` before it."""
        return np.any([self.ids == self.ago(by) for by in range(1, REPEATED + 1)], axis=0) & (self.ids >= 0)
