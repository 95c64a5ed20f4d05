"""KL keeps its digits: near the reference, far away from it, and in its gradient."""

import math
from fractions import Fraction

import pytest
import torch

from acdc.metrics import METRICS
from tests.metrics.test_metrics import CORRECT, LOGITS, REFERENCE, WRONG


def test_kl_is_accurate_where_the_two_nearly_agree() -> None:
    near = REFERENCE.float() + 1e-3 * LOGITS.float()
    exact = METRICS["kl"].function(
        REFERENCE.float().double() + (near - REFERENCE.float()).double(), CORRECT, WRONG, REFERENCE.float().double()
    )
    torch.testing.assert_close(
        METRICS["kl"].function(near, CORRECT, WRONG, REFERENCE.float()).double(), exact, atol=2e-7, rtol=0
    )


def exact_kl(logits: torch.Tensor, reference: torch.Tensor) -> float:
    """One row's KL, of numbers that are taken as they are, to hundreds of digits."""
    delta = [Fraction(a) - Fraction(b) for a, b in zip(logits.tolist(), reference.tolist(), strict=True)]
    weights = [exp(Fraction(b)) for b in reference.tolist()]
    p = [weight / sum(weights) for weight in weights]
    mean = sum(a * b for a, b in zip(p, delta, strict=True))
    rest = sum(a * (exp(b - mean) - 1) for a, b in zip(p, delta, strict=True))
    return math.log1p(rest)


def exp(x: Fraction) -> Fraction:
    """The exponential by its series, cut to 60 digits; its argument is no larger than some units."""
    term, total = Fraction(1), Fraction(1)
    for k in range(1, 80):
        term = Fraction(round(term * x / k * 10**60), 10**60)
        total += term
    return total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
def test_kl_is_accurate_to_its_last_digits_at_every_size(size: float, dtype: torch.dtype) -> None:
    """From 1e-13 to 1e-2: within about half of what rounding does to one logit's change, relative to it."""
    generator = torch.Generator().manual_seed(0)
    reference = 2 * torch.randn(8, 40, generator=generator, dtype=dtype).contiguous()
    logits = reference + size * torch.randn(8, 40, generator=generator, dtype=dtype)
    exact = torch.tensor([exact_kl(*rows) for rows in zip(logits, reference, strict=True)], dtype=torch.float64)
    assert 0.05 * size**2 < float(exact.min()) and float(exact.max()) < 5 * size**2
    found = METRICS["kl"].function(logits, CORRECT[:1].expand(8, -1), WRONG[:1].expand(8, -1), reference).double()
    rounding = torch.finfo(dtype).eps
    error = float(((found - exact) / exact).abs().max())
    assert error < 10 * rounding + 0.6 * rounding / size


def test_kl_is_right_far_away_too() -> None:
    """Where exponentials overflow, where all logits are moved alike, and where a token has no probability at all."""
    reference = torch.tensor([[0.0, 1.0, -200.0]] * 4)
    logits = torch.tensor([[300.0, 1.0, 0.0], [50.0, 51.0, -150.0], [0.0, 1.0, 400.0], [-90.0, 1.0, -200.0]])
    target = reference.double().softmax(-1)
    exact = torch.nn.functional.kl_div(logits.double().log_softmax(-1), target, reduction="none").sum(-1)
    found = METRICS["kl"].function(logits, CORRECT[:1].expand(4, -1), WRONG[:1].expand(4, -1), reference)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)


def test_kl_has_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    reference, logits = (torch.randn(3, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    logits.requires_grad_()
    kl = METRICS["kl"].function(logits, CORRECT[:1].expand(3, -1), WRONG[:1].expand(3, -1), reference)
    expected = logits.softmax(-1) - reference.softmax(-1)
    torch.testing.assert_close(torch.autograd.grad(kl.sum(), logits)[0], expected.detach())
