"""Weights behind a norm, as one linear map: what the norm does beside dividing by its token's scale goes into them.

    norm(x) W + b  =  x · folded / scale(x) + constant

So a layer norm's centring and its weight, an RMS norm's weight and Gemma's `1 + weight` need not be told apart.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.models.components import Norm
from acdc.patching.gradient.frozen_norms import FrozenNorms, check_frozen

__all__ = ["folded"]


def folded(norm: Norm, weight: Float[Tensor, "d_model n"]) -> Float[Tensor, "d_model n"]:
    """The norm's derivative with its scale held at 1, times the weight; in float32 at least.

    Raises:
        ModelError: The norm's scale can't be held.
    """
    check_frozen(norm, len(weight), weight)
    wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    x = torch.linspace(-1, 1, len(wide), dtype=wide.dtype, device=wide.device)
    x = x / x.square().mean().sqrt()  # of mean 0 and size 1, whatever kind the norm is
    with torch.enable_grad(), FrozenNorms():
        leaf = x.expand(wide.shape[1], -1).clone().requires_grad_()
        return torch.autograd.grad((norm(leaf) * wide.T).sum(), leaf)[0].T
