"""What stands inside an MLP: what its twin computes and hands back, and what is refused."""

import pytest
import torch
from torch import nn

from acdc.errors import ModelError
from acdc.patching.gradient.mlp_rules import ruled_mlp

X = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Gated(nn.Module):
    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(6, 8, bias=False), nn.Linear(6, 8, bias=False)
        self.down_proj, self.act_fn = nn.Linear(8, 6, bias=False), act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class Split(nn.Module):
    """A gated MLP whose gate and up stand in one projection that isn't named so."""

    def __init__(self) -> None:
        super().__init__()
        self.w_in, self.w_out, self.act = nn.Linear(6, 16), nn.Linear(8, 6), nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.w_in(x).chunk(2, -1)
        return self.w_out(self.act(gate) * up)


class ThreeNames(Gated):
    def __init__(self) -> None:
        super().__init__(nn.SiLU())
        self.w1, self.w3, self.w2 = self.gate_proj, self.up_proj, self.down_proj
        del self.gate_proj, self.up_proj, self.down_proj


def plain(act: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8, bias=False), act, nn.Linear(8, 6, bias=False))


def along(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """`J x`, as the module's gradients have it."""
    rows = []
    for i in range(x.shape[-1]):
        leaf = x.clone().requires_grad_()
        rows.append((torch.autograd.grad(module(leaf)[:, i].sum(), leaf)[0] * x).sum(-1))
    return torch.stack(rows, -1)


@pytest.mark.parametrize("act", [nn.ReLU(), nn.SiLU(), nn.GELU(), nn.GELU("tanh")], ids=repr)
@pytest.mark.parametrize("make", [plain, Gated], ids=["plain", "gated"])
def test_secants_and_halves_hand_back_all_that_comes_out(make, act: nn.Module) -> None:
    mlp = make(act).double()
    twin = ruled_mlp(mlp, secants=True, products=0.5)
    torch.testing.assert_close(twin(X), mlp(X), atol=1e-14, rtol=0)
    torch.testing.assert_close(along(twin, X), mlp(X), atol=1e-14, rtol=0)
    its_own = make is plain and isinstance(act, nn.ReLU)  # a ReLU is its own secant
    assert torch.allclose(along(mlp, X), mlp(X)) == its_own


def test_an_input_of_0_has_the_slope_there() -> None:
    twin = ruled_mlp(nn.Sequential(nn.SiLU()), secants=True, products=1.0)
    leaf = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(twin(leaf).sum(), leaf)[0]
    torch.testing.assert_close(found, torch.full((2,), 0.5, dtype=torch.float64), atol=1e-12, rtol=0)


def test_products_alone_scale_gated_mlps_alone() -> None:
    gated, other = Gated(nn.SiLU()).double(), plain(nn.GELU()).double()
    for mlp, share in ((gated, 0.5), (other, 1.0)):
        twin = ruled_mlp(mlp, secants=False, products=0.5)
        torch.testing.assert_close(along(twin, X), share * along(mlp, X))


def test_the_module_is_shared_and_not_changed() -> None:
    mlp = Gated(nn.SiLU())
    inside = dict(mlp._modules)
    twin = ruled_mlp(mlp, secants=True, products=0.5)
    assert mlp._modules == inside
    assert {id(p) for p in twin.parameters()} == {id(p) for p in mlp.parameters()}


@pytest.mark.parametrize("mlp", [Split(), ThreeNames(), nn.Bilinear(6, 6, 6)], ids=lambda mlp: type(mlp).__name__)
def test_what_is_not_known_is_refused_by_name(mlp: nn.Module) -> None:
    with pytest.raises(ModelError, match=f"inside the MLP {type(mlp).__name__}; known are"):
        ruled_mlp(mlp, secants=False, products=0.5)


def test_an_activation_without_a_secant_is_refused() -> None:
    with pytest.raises(ModelError, match="activation Softplus is not 0 at 0"):
        ruled_mlp(plain(nn.Softplus()), secants=True, products=0.5)
