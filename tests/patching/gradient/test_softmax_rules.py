"""Softmaxes whose gradients go back by a rule: what they compute, and what they hand back, by hand."""

import math

import pytest
import torch
from torch import Tensor

from acdc.patching.gradient.softmax_rules import at_temperature, by_relevance

SCORES = torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.0, 4.0, -1.0, 0.25]], dtype=torch.float64)
BACK = torch.tensor([[0.3, -1.0, 2.0, 0.7], [1.0, 0.5, -0.2, 2.0]], dtype=torch.float64)


def handed_back(softmax, scores: Tensor, back: Tensor = BACK) -> Tensor:
    leaf = scores.clone().requires_grad_()
    return torch.autograd.grad(softmax(leaf), leaf, back)[0]


@pytest.mark.parametrize("softmax", [at_temperature(2.0), by_relevance(torch.float64)])
def test_they_compute_softmax(softmax) -> None:
    assert torch.equal(softmax(SCORES), SCORES.softmax(-1))


def test_at_temperature_1_it_is_the_derivative() -> None:
    torch.testing.assert_close(
        handed_back(at_temperature(1.0), SCORES), handed_back(lambda x: x.softmax(-1), SCORES), atol=1e-15, rtol=0
    )


def test_at_a_temperature_it_is_the_derivative_of_a_flatter_softmax_without_its_factor() -> None:
    flatter = handed_back(lambda x: (x / 3).softmax(-1), SCORES)
    torch.testing.assert_close(handed_back(at_temperature(3.0), SCORES), 3 * flatter, atol=1e-15, rtol=0)


def test_relevance_is_shared_by_the_pattern_and_conserved() -> None:
    found, pattern = handed_back(by_relevance(torch.float64), SCORES), SCORES.softmax(-1)
    relevance = (BACK * pattern).sum(-1)
    for row in range(2):
        for key in range(4):
            share = 0 if SCORES[row, key] == 0 else relevance[row] * pattern[row, key] / SCORES[row, key]
            assert float(found[row, key]) == pytest.approx(float(share), abs=1e-15)
    torch.testing.assert_close((SCORES * found).sum(-1)[0], relevance[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_score_that_may_be_0_gets_nothing_and_nothing_is_infinite(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    scores = torch.tensor([[8.0, 7 * eps, -7 * eps, 0.0, 9 * eps, torch.finfo(dtype).min]])
    found = handed_back(by_relevance(dtype), scores, torch.ones_like(scores))
    assert bool(found.isfinite().all())
    assert (found != 0).tolist() == [[True, False, False, False, True, False]]
    nothing = handed_back(by_relevance(dtype), torch.zeros(1, 4), torch.ones(1, 4))
    assert nothing.tolist() == [[0.0] * 4]


def test_masked_keys_get_nothing() -> None:
    scores = torch.tensor([[2.0, torch.finfo(torch.float32).min, 1.0], [-math.inf, 1.0, -math.inf]])
    for softmax in (at_temperature(2.0), by_relevance(torch.float32)):
        found = handed_back(softmax, scores, torch.tensor([[1.0, 5.0, 2.0], [1.0, 2.0, 3.0]]))
        assert bool(found.isfinite().all())
        assert bool((found[scores < -100] == 0).all())
