"""MLPs that compute what they always do, and hand gradients back by other rules than their derivatives.

An MLP's own module does the work; what stands inside it is exchanged in a copy that shares all weights.

| what | rule |
|---|---|
| an activation | secant: the gradient goes through `x · (act(x) / x)` with the bracket held, so that `J x = act(x)` |
| the product of gate and up | damped: each gets a share of its gradient, of which 1/2 gives `J x = product` |

A mixture's experts and shared experts are treated so; its router keeps its derivative, and so do the experts' weights.
"""

import copy

import torch
from torch import Tensor, nn

from acdc.errors import ModelError
from acdc.models.views import PerToken, Scaled

__all__ = ["norms_beside", "ruled_mlp"]

GATED = ({"gate_proj", "up_proj", "down_proj"}, {"gate_up_proj", "down_proj"})  # names of weights
EXPERTS, ROUTERS = {"experts", "shared_expert", "shared_experts"}, {"gate", "router", "shared_expert_gate"}
AS_THEY_ARE = (nn.Linear, nn.Dropout, nn.Identity, Scaled)


def ruled_mlp(module: nn.Module, *, secants: bool, products: float) -> nn.Module:
    """A twin of an MLP, or of what stands beside it, that hands gradients back by the rules; the module stays as it is.

    Args:
        secants: Activations count as the secant through 0.
        products: What share of the gradient gate and up get each.

    Raises:
        ModelError: It isn't known what is inside.
    """

    def twin(names: set[str]) -> nn.Module:
        inside = {name: ruled_mlp(children[name], secants=secants, products=products) for name in names}
        return _twin(module, inside)

    children, weights = dict(module.named_children()), _weights(module)
    if isinstance(module, (nn.Sequential, PerToken)):
        return twin(set(children))
    if "experts" in children and children.keys() <= EXPERTS | ROUTERS:
        return twin(children.keys() & EXPERTS)
    activations = {name for name, child in children.items() if _is_activation(child)}
    if weights.keys() in GATED and len(activations) >= secants:
        return _Damped(twin(activations), products)
    if _is_plain(weights) and len(activations) == 1:
        return twin(activations)
    if _is_activation(module):
        return _Secant(module) if secants else module
    if isinstance(module, AS_THEY_ARE) or _is_norm(module):
        return module
    raise ModelError(
        f"backward rules don't know what is inside the MLP {type(module).__name__}; known are two projections around "
        "an activation, gated MLPs (gate_proj or gate_up_proj), and mixtures of gated experts"
        + (" with an activation that is a module" if weights.keys() in GATED else "")
    )


def norms_beside(module: nn.Module) -> list[nn.Module]:
    """The norms that follow an MLP."""
    return [each for each in module if _is_norm(each)] if isinstance(module, nn.Sequential) else []


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """The matrices by the name of the projection, whether that is a module or a parameter."""
    named = {name.removesuffix(".weight"): p for name, p in module.named_parameters() if not name.endswith("bias")}
    return {name: p for name, p in named.items() if p.ndim > 1}


def _is_plain(weights: dict[str, Tensor]) -> bool:
    """Two projections, the second of which reads all that the first writes: nothing between them was split."""
    shapes = [sorted(p.shape) for p in weights.values()]
    return len(shapes) == 2 and shapes[0] == shapes[1]


def _is_norm(module: nn.Module) -> bool:
    """What has numbers for each dimension alone."""
    weights = list(module.parameters())
    return bool(weights) and all(p.ndim < 2 for p in weights) and not list(module.children())


def _is_activation(module: nn.Module) -> bool:
    whole = not list(module.children()) and not list(module.parameters())
    return whole and not isinstance(module, AS_THEY_ARE)


def _twin(module: nn.Module, inside: dict[str, nn.Module]) -> nn.Module:
    """A copy of the module with other modules inside; all else is shared."""
    found = copy.copy(module)
    found._modules = {**module._modules, **inside}
    return found


class _Secant(nn.Module):
    """An activation as `x` times a constant."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        if bool(activation(torch.zeros(1)) != 0):
            raise ModelError(f"the activation {type(activation).__name__} is not 0 at 0, so it has no secant there")
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        away = torch.where(x == 0, torch.finfo(x.dtype).eps, x).detach()  # at 0: the slope there
        return x * (self.activation(away) / away)


class _Damped(nn.Module):
    """A gated MLP that hands back a share of its gradient: all of it comes through the product of gate and up."""

    def __init__(self, module: nn.Module, share: float) -> None:
        super().__init__()
        self.module, self.share = module, share

    def forward(self, x: Tensor, *routing: Tensor) -> Tensor:
        found: Tensor = self.module(x.detach() + self.share * (x - x.detach()), *routing)
        return found
