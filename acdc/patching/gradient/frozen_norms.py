"""Norms whose scale counts as a constant on the way back.

    y = weight (x - mean(x)) / scale(x) + bias,    ∂y/∂x with the scale held at its value

Without that, a norm's derivative takes out the part of a gradient along what it normalises: a source that shrinks its
destination's input and so enlarges all else in it gets little. The mean that a layer norm subtracts keeps its
derivative.

Reference: Ali et al. 2022 (arXiv 2202.07304), section 3.3: the LN-rule.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from acdc.errors import ModelError
from acdc.models.components import Norm

__all__ = ["FrozenNorms", "check_frozen"]


class FrozenNorms(TorchFunctionMode):
    """Within it an inverse root has no derivative, and so no norm's scale has one, whosever module it is.

    It holds for the thread that enters it, and changes no module and no function. Nothing else that the backward pass
    makes anew takes an inverse root.
    """

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function is nn.functional.layer_norm:
            return _layer_norm(*args, **(kwargs or {}))
        out = function(*args, **(kwargs or {}))
        return out.detach() if function in (torch.rsqrt, Tensor.rsqrt) else out


def _layer_norm(x: Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """torch's, written out; in float32 at least, as torch computes it."""
    axes = tuple(range(-len(shape), 0))
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = wide - wide.mean(axes, keepdim=True)
    out = centred * torch.rsqrt(centred.pow(2).mean(axes, keepdim=True) + eps).detach()
    out = out if weight is None else out * weight
    return (out if bias is None else out + bias).to(x.dtype)


def check_frozen(norm: Norm, width: int, like: Tensor) -> None:
    """Raise `ModelError` unless `FrozenNorms` holds the scale of this norm.

    A norm of a constant scale is a linear map and a constant: `J x = y(x) - y(0)`. Of one whose scale moves with its
    input, `J x` is nearly 0.

    Args:
        like: A tensor of the dtype and on the device of the model.
    """
    x = torch.linspace(-1, 2, width, dtype=like.dtype, device=like.device)[None]
    with torch.enable_grad(), FrozenNorms():
        leaf = x.detach().requires_grad_()
        linear = norm(leaf) - norm(torch.zeros_like(x)).detach()
        back = torch.autograd.grad(linear, leaf, linear.detach())[0]
    found, expected = float((back.double() * x.double()).sum()), float(linear.detach().double().pow(2).sum())
    if not abs(found - expected) <= 0.05 * expected:
        raise ModelError(
            f"backward rules can't hold the scale of the norm {type(norm).__name__} constant; known are norms that "
            "divide by torch.rsqrt of a variance, and torch's layer norm"
        )
