"""Hard-concrete gates have the distribution that their formula says."""

import pytest
import torch

from acdc.discovery.masks.hard_concrete import p_open, sample


def draws(log_alpha: float, n: int = 200_000, seed: int = 0) -> torch.Tensor:
    values = torch.full((n,), log_alpha, dtype=torch.float64, requires_grad=True)
    gates = sample(values, torch.Generator().manual_seed(seed))
    return torch.stack([gates.detach(), torch.autograd.grad(gates.sum(), values)[0]])


@pytest.mark.parametrize("log_alpha", [-3.0, -1.0, 0.0, 0.7, 2.5])
def test_a_gate_is_open_as_often_as_its_probability_says(log_alpha: float) -> None:
    gates, slopes = draws(log_alpha)
    assert gates.min() >= 0 and gates.max() <= 1
    assert float((gates > 0).double().mean()) == pytest.approx(float(p_open(torch.tensor([log_alpha]))), abs=5e-3)
    ones = float(p_open(torch.tensor([-log_alpha])))  # by symmetry: exactly 1 as often as one of -log_alpha is open not
    assert float((gates == 1).double().mean()) == pytest.approx(1 - ones, abs=5e-3)
    assert bool((slopes[(gates == 0) | (gates == 1)] == 0).all()), "a gate at its end has no slope"
    assert bool((slopes >= 0).all())


def test_the_median_is_a_half_at_log_odds_of_zero() -> None:
    assert float(draws(0.0)[0].median()) == pytest.approx(0.5, abs=0.01)
    assert draws(0.3)[0].median() > 0.5 > draws(-0.3)[0].median()


def test_one_seed_draws_one_value() -> None:
    log_alpha = torch.zeros(50, dtype=torch.float64)
    first, again, other = (sample(log_alpha, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
