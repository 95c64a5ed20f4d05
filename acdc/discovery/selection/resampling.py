"""Edges whose score doesn't hang on a few prompts."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["consistent"]


def consistent(
    groups: Float[Tensor, "groups src dst"], *, resamples: int, agreement: float = 0.95, seed: int = 0
) -> Bool[Tensor, "src dst"]:
    """Edges whose score keeps its sign when prompts are drawn anew (bootstrap over groups of prompts).

    Args:
        groups: Scores of groups of prompts, adding up to the whole score.
        agreement: In which share of the resamples the sign must be that of the whole score.

    Reference:
        Nikankin et al. 2025 (arXiv 2510.25786).
    """
    n = groups.shape[0]
    flat, whole = groups.flatten(1), groups.sum(0).flatten().sign()
    same, generator = torch.zeros_like(whole), torch.Generator().manual_seed(seed)
    for _ in range(resamples):
        counts = torch.randint(n, (n,), generator=generator).bincount(minlength=n).to(flat.dtype)
        same += (counts @ flat).sign() == whole
    needed = math.ceil(agreement * resamples - 1e-9)
    return ((same >= needed) & (whole != 0) & ~whole.isnan()).view(groups.shape[1:])
