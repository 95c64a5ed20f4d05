"""Dead features are revived: the strongest of them learn to reconstruct what the living ones leave over.

    auxk = |e - e'|^2 / variance of e,   e = y - reconstruction (no gradient),  e' = dead features W_dec, without b_dec

Reference: Gao et al. 2024 (arXiv 2406.04093), appendix A.2; divided by the variance of e as in their code and in
dictionary_learning. sparsify divides by that of y, SAELens not at all: their weights mean something else.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.features.training.weights import Weights

__all__ = ["WEIGHT", "auxk"]

WEIGHT = 1 / 32


def auxk(
    weights: Weights, pre: Float[Tensor, "tokens n"], left: Float[Tensor, "tokens d_out"], dead: Bool[Tensor, " n"]
) -> Float[Tensor, ""] | None:
    """The loss; None where no feature is dead.

    Args:
        left: What the living features leave over, detached. Half as many dead features as it has dimensions are taken.
    """
    n_dead = int(dead.sum())
    if not n_dead:
        return None
    which = dead.nonzero()[:, 0]
    strengths = pre[:, which].relu()
    chosen = strengths.topk(max(1, min(left.shape[1] // 2, n_dead)), sorted=False)
    features = torch.zeros_like(strengths).scatter(1, chosen.indices, chosen.values)
    error = (left - features @ weights.decoder[which]).square().sum()
    return error / (left - left.mean(0)).square().sum().clamp_min(torch.finfo(left.dtype).tiny)
