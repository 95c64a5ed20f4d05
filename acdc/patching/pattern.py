"""The attention pattern: which share of its attention each query gives to each key."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.models.components import Attention, index_of

__all__ = ["head_patterns", "shares"]


def shares(
    q: Float[Tensor, "n #copies batch query d_head"],
    k: Float[Tensor, "n #copies batch key d_head"],
    bias: Float[Tensor, "*n_1 batch query key"],
    scale: float,
    *,
    soft_cap: float | None = None,
    sinks: Float[Tensor, " n"] | None = None,
    softmax: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "n copies_of_any batch query key"]:
    """`softmax(scale q kᵀ + bias)`, in float32 at least; a row sums to 1, or with a sink to 1 minus the sink's share.

    Args:
        bias: The mask, `[batch query key]`, or a bias for each head, `[n 1 batch query key]`.
        soft_cap: Scores s become `soft_cap tanh(s / soft_cap)` before the bias.
        sinks: For each head a score more in the softmax, which adds nothing to z.
        softmax: What turns scores into the pattern; torch's if None.
    """
    scores = torch.matmul(q, k.transpose(-1, -2)).mul_(scale)
    if soft_cap is not None:
        scores = soft_cap * torch.tanh(scores / soft_cap)
    scores = scores.add_(bias)
    precise = scores if scores.dtype == torch.float64 else scores.float()
    if sinks is not None:
        column = sinks.to(precise.dtype).view(-1, 1, 1, 1, 1).expand(*precise.shape[:-1], 1)
        precise = torch.cat([precise, column], -1)
    pattern = precise.softmax(-1) if softmax is None else softmax(precise)
    return pattern if sinks is None else pattern[..., :-1]


def head_patterns(
    attention: Attention,
    heads: Sequence[int],
    q: Float[Tensor, "n #copies batch query d_head"],
    k: Float[Tensor, "n #copies batch key d_head"],
    bias: Float[Tensor, "*n_1 batch query key"],
) -> Float[Tensor, "n copies_of_any batch query key"]:
    """The patterns of some heads of a layer, each from its own q and k."""
    sinks = None if attention.sinks is None else attention.sinks[index_of(heads)]
    return shares(q, k, bias, attention.scale, soft_cap=attention.soft_cap, sinks=sinks, softmax=attention.softmax)
