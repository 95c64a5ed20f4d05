"""BatchTopK: a batch of B tokens has its B k strongest features, so that a token may have more or fewer than k.

A single token has no batch, so the trained dictionary is a JumpReLU with one threshold for all features: the least
feature that a batch kept, as a moving average over the batches.

Reference: Bussmann et al. 2024 (arXiv 2412.06410), section 3.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.features.activations import JumpReLU
from acdc.features.training.variant import Variant
from acdc.features.training.weights import Weights

__all__ = ["VARIANT", "choose", "observe", "saved"]

PACE = 0.01  # of the moving average, as SAELens has it: of about the last hundred batches


def choose(weights: Weights, pre: Float[Tensor, "tokens n"], k: int) -> Float[Tensor, "tokens n"]:
    """The `k` times as many largest of all as there are tokens, where they are above zero."""
    flat = pre.relu().flatten()
    best = flat.topk(min(k * len(pre), len(flat)), sorted=False)
    return torch.zeros_like(flat).scatter(0, best.indices, best.values).view_as(pre)


def observe(weights: Weights, features: Float[Tensor, "tokens n"]) -> None:
    """Move the threshold towards the least feature that was kept."""
    assert weights.threshold is not None
    if (kept := features[features > 0]).numel():
        least = kept.min()
        first = weights.threshold == 0
        weights.threshold.copy_(torch.where(first, least, weights.threshold.lerp(least, PACE)))


def saved(k: int, threshold: Tensor | None) -> JumpReLU:
    """What the trained dictionary does."""
    assert threshold is not None
    return JumpReLU(threshold)


VARIANT = Variant(
    "batchtopk",
    "k features a token on average; saved as JumpReLU with one threshold",
    "Bussmann et al. 2024",
    choose,
    activation=saved,
    observe=observe,
    thresholds="one",
)
