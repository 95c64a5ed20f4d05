"""Softmaxes that compute what they always do, and hand gradients back by another rule than their derivative.

With p = softmax(scores) and g the gradient of p, the derivative hands back `p_i (g_i - Σ_j p_j g_j)`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["at_temperature", "by_relevance"]


def at_temperature(temperature: float) -> Callable[[Tensor], Tensor]:
    """Hand back `t_i (g_i - Σ_j t_j g_j)` with t = softmax(scores / temperature).

    Where p is nearly one-hot its derivative is nearly 0, though a change of several scores together would matter; t is
    flatter. There is no factor 1 / temperature, as in the published code.

    Reference: Edin et al. 2025, GIM (arXiv 2505.17630).
    """
    return lambda scores: _AtTemperature.apply(scores, temperature)


def by_relevance(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Hand back `(Σ_j g_j p_j) p_i / scores_i`: scores share the relevance of the pattern by p.

    Nothing goes to a score that may be 0: one no larger than what rounding in `dtype` makes of its row's largest.
    Without that bound bfloat16 gives NaN and infinities.
    """
    return lambda scores: _ByRelevance.apply(scores, torch.finfo(dtype).eps)


class _AtTemperature(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward(scores)
        ctx.temperature = temperature
        return scores.softmax(-1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (scores,) = ctx.saved_tensors
        t = (scores / ctx.temperature).softmax(-1)
        return t * (g - (g * t).sum(-1, keepdim=True)), None


class _ByRelevance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, rounding: float) -> Tensor:
        pattern = scores.softmax(-1)
        ctx.save_for_backward(scores, pattern)
        ctx.rounding = rounding
        return pattern

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        scores, pattern = ctx.saved_tensors
        size = scores.abs().masked_fill(pattern == 0, 0)
        known = size > ctx.rounding * size.amax(-1, keepdim=True)
        share = torch.where(known, pattern / scores, 0)
        return (g * pattern).sum(-1, keepdim=True) * share, None
