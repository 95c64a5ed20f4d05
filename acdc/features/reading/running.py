"""A running top-k of each feature: what a sort of everything would keep, in memory that doesn't grow with the text."""

import numpy as np
from jaxtyping import Float, Int

__all__ = ["RunningTop", "best_of_groups"]


class RunningTop:
    """The `k` entries of the largest keys of each feature; among equal keys those that stand first in the text.

    Entries come in the order of the text, and none twice.

    Attributes:
        where: Which token of the text an entry is, `[n k]`, the largest key first; -1 where there are fewer than k.
        value: A number that goes with it, `[n k]`; 0 where there is none.
    """

    def __init__(self, n_features: int, k: int) -> None:
        self.k = k
        self._key = np.full((n_features, k), -np.inf)
        self.where = np.full((n_features, k), -1, dtype=np.int64)
        self.value = np.zeros((n_features, k), dtype=np.float32)

    def add(
        self,
        feature: Int[np.ndarray, " entry"],
        key: Float[np.ndarray, " entry"],
        where: Int[np.ndarray, " entry"],
        value: Float[np.ndarray, " entry"],
    ) -> None:
        """Take in entries that come later in the text than all before."""
        hopeful = key > self._key[feature, -1]
        feature, key, where, value = (x[hopeful] for x in (feature, key, where, value))
        touched = np.unique(feature)
        old = self.where[touched] >= 0
        feature = np.concatenate([np.repeat(touched, self.k)[old.ravel()], feature])
        key = np.concatenate([self._key[touched][old], key])
        where = np.concatenate([self.where[touched][old], where])
        value = np.concatenate([self.value[touched][old], value])
        order = np.lexsort((where, -key, feature))
        feature = feature[order]
        rank = np.arange(len(feature)) - np.searchsorted(feature, feature)
        kept = rank < self.k
        order, at = order[kept], (feature[kept], rank[kept])
        self._key[at], self.where[at], self.value[at] = key[order], where[order], value[order]


def best_of_groups(
    feature: Int[np.ndarray, " entry"], group: Int[np.ndarray, " entry"], key: Float[np.ndarray, " entry"]
) -> Int[np.ndarray, " best"]:
    """Which entry of each feature and group (a window) has the largest key, the first of equals."""
    order = np.lexsort((-key, group, feature))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(feature[order]) != 0) | (np.diff(group[order]) != 0)
    return np.sort(order[first])
