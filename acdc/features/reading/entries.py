"""Activations as they are counted and kept: those alone that are above zero, on tokens that count."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Entries"]


@dataclass(frozen=True, eq=False)
class Entries:
    """Activations of some windows that follow one another, in the order of the text.

    Attributes:
        first, n: The first of these windows, and how many they are.
        token: Where each activation is, `window * width + column`.
        feature, value: Whose it is, and how strong.
    """

    first: int
    n: int
    token: Int[np.ndarray, " entry"]
    feature: Int[np.ndarray, " entry"]
    value: Float[np.ndarray, " entry"]

    @classmethod
    def of(cls, first: int, features: Float[Tensor, "window pos n"], counted: Bool[Tensor, "windows pos"]) -> "Entries":
        """Of all features of windows, the first of which has this number; `counted` is of the whole text."""
        n, width = features.shape[:2]
        window, column, feature = found = features.nonzero(as_tuple=True)
        kept = counted[first : first + n].to(features.device)[window, column]
        token = ((first + window) * width + column)[kept]
        return cls(first, n, token.cpu().numpy(), feature[kept].int().cpu().numpy(), _float(features[found][kept]))

    @property
    def nbytes(self) -> int:
        return self.token.nbytes + self.feature.nbytes + self.value.nbytes

    def dense(
        self, windows: Int[np.ndarray, " window"], width: int, n_features: int
    ) -> Float[Tensor, "window pos n_features"]:
        """All features of some of the windows, given in order."""
        window, column = np.divmod(self.token, width)
        row = np.searchsorted(windows, window).clip(max=len(windows) - 1)
        meant = windows[row] == window
        found = torch.zeros(len(windows), width, n_features)
        at = (torch.from_numpy(x[meant].astype(np.int64)) for x in (row, column, self.feature))
        found[tuple(at)] = torch.from_numpy(self.value[meant])
        return found


def _float(x: Tensor) -> np.ndarray:
    return x.float().cpu().numpy()
