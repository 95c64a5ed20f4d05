"""Which tokens features fire on, all features at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

__all__ = ["TokenShares"]


@dataclass(frozen=True, eq=False)
class TokenShares:
    """The tokens of each feature's sample, the most frequent first; of equals the smallest number first.

    Attributes:
        start: Where each feature's tokens begin in `token` and `share`, and where the last one's end.
        share: Of the feature's sample.
    """

    start: Int[np.ndarray, " bounds"]
    token: Int[np.ndarray, " entry"]
    share: Float[np.ndarray, " entry"]

    @classmethod
    def of(cls, found: Int[np.ndarray, "n sample"], sizes: Int[np.ndarray, " n"]) -> "TokenShares":
        """Count them; -1 is none, and `sizes` what shares are of."""
        feature = np.repeat(np.arange(len(found)), found.shape[1]).reshape(found.shape)
        span = int(found.max(initial=0)) + 1
        keys, counts = np.unique((feature * span + found)[found >= 0], return_counts=True)
        feature, token = np.divmod(keys, span)
        order = np.lexsort((token, -counts, feature))
        start = np.searchsorted(feature, np.arange(len(found) + 1))
        return cls(start, token[order], (counts / sizes[feature])[order])

    def most(self, index: int) -> list[tuple[int, float]]:
        """A feature's tokens and their shares."""
        here = slice(self.start[index], self.start[index + 1])
        return list(zip(self.token[here].tolist(), self.share[here].tolist(), strict=True))

    def first(self, index: int) -> tuple[int, float] | None:
        """The most frequent of a feature's tokens, and its share; None without a sample."""
        at, end = self.start[index : index + 2]
        return (int(self.token[at]), float(self.share[at])) if at < end else None

    def of_tokens(self, tokens: Int[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
        """How large a share of each feature's sample some tokens are together."""
        return np.bincount(self._feature, self.share * np.isin(self.token, tokens), minlength=len(self.start) - 1)

    @cached_property
    def entropy(self) -> Float[np.ndarray, " n"]:
        """In bits; NaN where there is no sample."""
        bits = np.bincount(self._feature, -self.share * np.log2(self.share), minlength=len(self.start) - 1)
        return np.where(np.diff(self.start) > 0, bits + 0.0, np.nan)

    @cached_property
    def _feature(self) -> Int[np.ndarray, " entry"]:
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))
