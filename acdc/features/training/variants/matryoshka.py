"""Matryoshka BatchTopK: the first features alone must reconstruct too, so that the general ones come first.

    loss = mean over the levels of |y - reconstruction by the first m features|^2,  m = n/16, n/8, n/4, n/2, n

Reference: Bussmann et al. 2025 (arXiv 2503.17547), section 3; levels as in the authors' code, weighted equally.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.features.training.variant import Variant, squared
from acdc.features.training.variants.batchtopk import choose, observe, saved
from acdc.features.training.weights import Weights

__all__ = ["VARIANT", "levels"]

SHARES = (16, 8, 4, 2, 1)  # a level has the first n/16 features, and so on


def levels(n: int) -> tuple[int, ...]:
    """How many of the features each level has.

    >>> levels(64), levels(6)
    ((4, 8, 16, 32, 64), (1, 3, 6))
    """
    return tuple(sorted({n // share for share in SHARES} - {0}))


def error(
    weights: Weights, features: Float[Tensor, "tokens n"], x: Float[Tensor, "tokens d_in"], y: Tensor, left: Tensor
) -> Float[Tensor, ""]:
    """Mean over the levels, and over the tokens, of the squared error."""
    n = features.shape[1]
    inside = torch.arange(n, device=features.device)
    inner = [squared(y - weights.written(features * (inside < level), x)) for level in levels(n)[:-1]]
    return torch.stack([*inner, squared(left)]).mean()


VARIANT = Variant(
    "matryoshka",
    "BatchTopK whose first features must reconstruct alone too",
    "Bussmann et al. 2025",
    choose,
    activation=saved,
    error=error,
    observe=observe,
    thresholds="one",
)
