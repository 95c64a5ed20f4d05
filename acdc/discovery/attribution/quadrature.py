"""Where on the way from the clean end (0) to the ablated end (1) gradients are taken, and how they are weighted.

| quadrature | points a_i |
|---|---|
| `left` | 1, (m-1)/m, …, 1/m: from the ablated end, without the clean one, as EAP-IG's own code sums |
| `right` | (m-1)/m, …, 1/m, 0: with the clean end, without the ablated one |
| `midpoint` | the middles of m equal steps |
| `gauss-legendre` | the m nodes of Gauss and Legendre, exact for polynomials up to degree 2m - 1 |
| `random` | one draw in each of m equal steps, for every prompt its own; with m = 1 expected gradients |

Expected gradients are Erion et al. 2021, Improving Performance of Deep Learning Models with Axiomatic Attribution
Priors and Expected Gradients (arXiv 1906.10670).
"""

import hashlib
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from acdc.errors import RunError
from acdc.prompts.batch import PromptBatch

__all__ = ["Quadrature", "RandomQuadrature", "quadrature_points", "random_points"]

Quadrature = Literal["left", "right", "midpoint", "gauss-legendre"]
RandomQuadrature = Literal[Quadrature, "random"]


def quadrature_points(quadrature: Quadrature, steps: int) -> list[tuple[float, float]]:
    """Points from the clean end (0) to the ablated end (1), and their weights, which add up to 1."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise RunError(f"steps must be a positive number, not {steps!r}")
    if quadrature == "gauss-legendre":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return [((1 + a) / 2, w / 2) for a, w in zip(points.tolist(), weights.tolist(), strict=True)]
    shift = {"left": 1.0, "right": 0.0, "midpoint": 0.5}[quadrature]
    return [((i + shift) / steps, 1 / steps) for i in range(steps)]


def random_points(batch: PromptBatch, steps: int, seed: int) -> Float64[Tensor, "steps batch"]:
    """For every prompt one draw from each of `steps` equal steps from 0 to 1.

    They follow from the seed and the prompt's own tokens, so they are the same however prompts are split.
    """
    found = []
    for clean, corrupt, real in zip(batch.clean, batch.corrupt, batch.attention, strict=True):
        told = f"{seed} {clean[real].tolist()} {corrupt[real].tolist()}".encode()
        own = int.from_bytes(hashlib.sha256(told).digest()[:4], "big")
        found.append(torch.rand(steps, generator=torch.Generator().manual_seed(own), dtype=torch.float64))
    return (torch.arange(steps)[:, None] + torch.stack(found, 1)) / steps
