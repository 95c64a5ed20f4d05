"""Where on the way from the clean end (0) to the ablated end (1) gradients are taken, and how they are weighted.

| quadrature | points a_i |
|---|---|
| `left` | 1, (m-1)/m, …, 1/m: from the ablated end, without the clean one, as EAP-IG's own code sums |
| `right` | (m-1)/m, …, 1/m, 0: with the clean end, without the ablated one |
| `midpoint` | the middles of m equal steps |
| `gauss-legendre` | the m nodes of Gauss and Legendre, exact for polynomials up to degree 2m - 1 |
"""

from typing import Literal

import numpy as np

from acdc.errors import RunError

__all__ = ["Quadrature", "quadrature_points"]

Quadrature = Literal["left", "right", "midpoint", "gauss-legendre"]


def quadrature_points(quadrature: Quadrature, steps: int) -> list[tuple[float, float]]:
    """Points from the clean end (0) to the ablated end (1), and their weights, which add up to 1."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise RunError(f"steps must be a positive number, not {steps!r}")
    if quadrature == "gauss-legendre":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return [((1 + a) / 2, w / 2) for a, w in zip(points.tolist(), weights.tolist(), strict=True)]
    shift = {"left": 1.0, "right": 0.0, "midpoint": 0.5}[quadrature]
    return [((i + shift) / steps, 1 / steps) for i in range(steps)]
