"""JumpReLU: each feature has a threshold of its own, trained so that a token has k features on average.

    features = relu(pre) H(pre - threshold)
    loss = |y - reconstruction|^2 + warmth (L0 / k - 1)^2

H, the step, has no gradient: its threshold's is estimated by the pre-activations within half a bandwidth of it. The
loss is that of Rajamanoharan et al. with a target for L0 instead of a weight of it, as dictionary_learning has it.

Reference: Rajamanoharan et al. 2024 (arXiv 2407.14435), sections 3 and 4.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.features.activations import JumpReLU
from acdc.features.training.variant import Variant
from acdc.features.training.weights import Weights

__all__ = ["VARIANT"]

BANDWIDTH = 0.001  # where activations have a mean squared norm of 1
START = 0.001


class Step(torch.autograd.Function):
    """`H(pre - threshold)`; backward the rectangle's estimate for the threshold, and nothing for `pre`."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        pre, threshold = ctx.saved_tensors
        near = (pre - threshold).abs() < BANDWIDTH / 2
        return None, (-grad * near / BANDWIDTH).sum(0)


def choose(weights: Weights, pre: Float[Tensor, "tokens n"], k: int) -> Float[Tensor, "tokens n"]:
    """Those above their thresholds; the threshold's gradient has `pre` where the paper has the threshold itself, which
    is the same within the bandwidth."""
    found: Tensor = pre.relu() * Step.apply(pre, weights.threshold)
    return found


def penalty(weights: Weights, pre: Float[Tensor, "tokens n"], k: int, warmth: float) -> Tensor:
    """How far L0 is from the one that is asked for."""
    n_active: Tensor = Step.apply(pre, weights.threshold)
    return warmth * (n_active.sum(1).mean() / k - 1).square()


def observe(weights: Weights, features: Float[Tensor, "tokens n"]) -> None:
    """Keep thresholds at zero or above, where the trained dictionary has them."""
    assert weights.threshold is not None
    weights.threshold.clamp_(min=0)


def saved(k: int, threshold: Tensor | None) -> JumpReLU:
    """What the trained dictionary does."""
    assert threshold is not None
    return JumpReLU(threshold)


VARIANT = Variant(
    "jumprelu",
    "each feature has a trained threshold; k features a token on average",
    "Rajamanoharan et al. 2024",
    choose,
    activation=saved,
    penalty=penalty,
    observe=observe,
    thresholds="each",
    threshold=START,
    betas=(0.0, 0.999),
)
