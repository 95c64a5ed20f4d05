"""CPR and CMD: areas under the curve of faithfulness f against circuit size, as MIB computes them and corrected.

CPR is the area under f, higher is better; edges are ranked by their signed score. CMD is the area between f and 1,
lower is better; edges are ranked by the score's size.
"""

import math
from collections.abc import Sequence

from acdc.errors import RunError

__all__ = ["MIB_SHARES", "corrected_areas", "log_sizes", "mib_areas", "mib_sizes"]

MIB_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def mib_sizes(n_edges: int) -> tuple[int, ...]:
    """How many edges MIB keeps at each of its shares, before pruning: rounded down."""
    return tuple(int(share * n_edges) for share in MIB_SHARES)


def mib_areas(faithfulness: Sequence[float]) -> tuple[float, float]:
    """Area under f and area between f and 1, from f at `MIB_SHARES`, by MIB's trapezoid.

        area = sum over neighbouring shares of (k' - k) (f(k) + f(k')) / 2

    The abscissa is the share that was asked for, not what pruning left; the area goes from .001 to 1 and isn't divided
    by that length. More than 85% of it comes from shares above .2.

    Reference:
        Mueller et al. 2025 (MIB), section 3.
    """
    if len(faithfulness) != len(MIB_SHARES):
        raise RunError(
            f"MIB's areas need the faithfulness at its {len(MIB_SHARES)} shares, not {len(faithfulness)} values"
        )
    return _area(MIB_SHARES, faithfulness), _area(MIB_SHARES, [abs(1 - f) for f in faithfulness])


def log_sizes(n_edges: int, n: int = 12) -> tuple[int, ...]:
    """0, then about `n` sizes from 1 to all edges, equally far apart on a logarithmic scale."""
    steps = [round(n_edges ** (i / max(1, n - 1))) for i in range(n)]
    return tuple(dict.fromkeys([0, *steps, n_edges]))


def corrected_areas(sizes: Sequence[int], faithfulness: Sequence[float], n_edges: int) -> tuple[float, float]:
    """Area under f and area between f and 1, on a scale on which small circuits count.

        x = log(1 + size) / log(1 + n_edges),    from x = 0 (no edge) to x = 1 (all)

    Args:
        sizes: Edges that are left after pruning, 0 and `n_edges` among them.
        faithfulness: f there.

    Raises:
        RunError: An end is missing.
    """
    points = sorted(dict(zip(sizes, faithfulness, strict=True)).items())
    if not points or points[0][0] != 0 or points[-1][0] != n_edges:
        raise RunError("the corrected areas need the faithfulness with no edge and with all edges")
    x = [math.log1p(size) / math.log1p(n_edges) for size, _ in points]
    return _area(x, [f for _, f in points]), _area(x, [abs(1 - f) for _, f in points])


def _area(x: Sequence[float], y: Sequence[float]) -> float:
    from scipy.integrate import trapezoid

    return float(trapezoid(y, x))
