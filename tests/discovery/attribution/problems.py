"""Tiny problems that scorers are tried on, and how their scores are compared."""

import functools

import torch

from acdc.patching.problem import Problem
from tests.tiny import tiny_batch, tiny_model


@functools.cache
def problem_of(family: str = "gpt2", metric: str = "logit_diff", ablation: str = "corrupt") -> Problem:
    return Problem.make(tiny_model(family), tiny_batch(), metric=metric, ablation=ablation, seed=5)


def assert_same(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0, equal_nan=True)
