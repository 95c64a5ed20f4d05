"""Hard-concrete gates: random numbers in [0, 1], often exactly 0 or 1, differentiable in their log odds (Louizos 2018).

    s = sigmoid((log(u / (1 - u)) + log_alpha) / beta)        u uniform in (0, 1)
    gate = min(1, max(0, s (right - left) + left))

The stretch (left, right) and the temperature beta are those of Cao et al. 2021 and Bhaskar et al. 2024.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["BETA", "LEFT", "RIGHT", "p_open", "sample"]

LEFT, RIGHT, BETA = -0.1, 1.1, 2 / 3
MARGIN = 1e-6  # how near a uniform number comes to 0 and 1


def sample(log_alpha: Float[Tensor, "*n gates"], generator: torch.Generator) -> Float[Tensor, "*n gates"]:
    """One value of every gate. The generator is the CPU's, so that all devices draw the same."""
    u = torch.rand(log_alpha.shape, generator=generator, dtype=torch.float64).clamp(MARGIN, 1 - MARGIN)
    s = torch.sigmoid((torch.logit(u).to(log_alpha.device) + log_alpha) / BETA)
    return (s * (RIGHT - LEFT) + LEFT).clamp(0, 1)


def p_open(log_alpha: Float[Tensor, " gates"]) -> Float[Tensor, " gates"]:
    """The probability that a gate isn't 0: `sigmoid(log_alpha - beta log(-left / right))`.

    At `log_alpha` 0 a gate's median is 1/2, and it is not 0 with probability 0.83.
    """
    return torch.sigmoid(log_alpha - BETA * math.log(-LEFT / RIGHT))
