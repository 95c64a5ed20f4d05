"""The test statistics of hypotheses about circuits, as functions of numbers alone.

Each p-value is valid: under its null hypothesis it is at most alpha with probability at most alpha. Where numbers tie,
that holds too, because half-counts are rounded against rejection.

Binomial tests and the corrections `bh` and `by` are scipy's. Ours are: the sign test's joint use of two nulls and its
ties; HSIC, which scipy lacks (its `permutation_test` could draw the permutations, but other ones than ours); and Holm's
correction, four lines for which statsmodels would be a dependency.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from acdc.errors import RunError, unknown_name
from acdc.options.defaults import CORRECTION, EPSILON, QUANTILE

__all__ = [
    "CORRECTIONS",
    "HSICTest",
    "QuantileTest",
    "SignTest",
    "adjust",
    "check_correction",
    "hsic_test",
    "quantile_test",
    "sign_test",
]

CORRECTIONS = ("holm", "bh", "by")


@dataclass(frozen=True)
class SignTest:
    """How often one of a pair is the larger.

    Attributes:
        wins, losses, ties: Numbers of positive, negative and zero differences.
        share: `(wins + ties / 2) / n`: the estimate of P(win) + P(tie) / 2.
        p_differs: p-value of H0 `|P - 1/2| <= epsilon`: small shows that the two differ.
        p_equivalent: p-value of H0 `|P - 1/2| >= epsilon`: small shows that they are equivalent.
    """

    n: int
    wins: int
    losses: int
    ties: int
    share: float
    epsilon: float
    p_differs: float
    p_equivalent: float


def sign_test(differences: Float[np.ndarray, " n"], *, epsilon: float = EPSILON, tolerance: float = 0.0) -> SignTest:
    """Test whether positive differences are about as frequent as negative ones.

    With P = P(d > 0) + P(d = 0) / 2, two nulls are tested, since not rejecting equality shows nothing: that P is near
    1/2, by both tails of Binomial(n, 1/2 + epsilon); and that it is not, by two one-sided tests at 1/2 +- epsilon.

    Args:
        epsilon: Half the width of what counts as equivalent.
        tolerance: Differences of at most this size are ties; a tie counts half.

    Reference:
        Shi et al. 2024, section 3.1 (equivalence). Schuirmann 1987 for the two one-sided tests.
    """
    from scipy.stats import binom, binomtest

    if not 0 < epsilon < 0.5:
        raise RunError(
            f"epsilon must lie between 0 and 0.5 (half the width of what counts as equivalent), not {epsilon}"
        )
    n = len(differences)
    wins, losses = int((differences > tolerance).sum()), int((differences < -tolerance).sum())
    ties = n - wins - losses
    more = max(wins, losses) + ties // 2  # towards n / 2: against rejecting that they are near
    most = max(wins, losses) + (ties + 1) // 2  # away from n / 2: against rejecting that they are far
    tails = binom.sf(more - 1, n, 0.5 + epsilon) + binom.cdf(n - more, n, 0.5 + epsilon)
    differs = 1.0 if 2 * more <= n else min(1.0, float(tails))
    equivalent = float(binomtest(most, n, 0.5 + epsilon, alternative="less").pvalue)
    return SignTest(n, wins, losses, ties, (wins + ties / 2) / n, epsilon, differs, equivalent)


@dataclass(frozen=True)
class HSICTest:
    """Dependence of two variables: `statistic` is HSIC, 0 under independence; `p` is small where they depend."""

    statistic: float
    p: float
    n: int
    permutations: int


def hsic_test(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], *, permutations: int = 1000, seed: int = 0
) -> HSICTest:
    """Permutation test of independence by the Hilbert-Schmidt independence criterion.

        HSIC = tr(K H L H) / (n - 1)^2,    p = (1 + #{permuted HSIC >= HSIC}) / (1 + permutations)

    K and L are Gaussian kernels, each as wide as the median distance of its own variable, which may have another unit
    than the other's. A variable that doesn't vary depends on nothing: p is 1.

    Reference:
        Gretton et al. 2007, A kernel statistical test of independence; Phipson and Smyth 2010 for p.
    """
    n, rng = len(x), np.random.default_rng(seed)
    k, centred = _kernel(x), _kernel(y)
    if k is None or centred is None:
        return HSICTest(0.0, 1.0, n, permutations)
    centred = centred - centred.mean(0) - centred.mean(1)[:, None] + centred.mean()
    scale = (n - 1) ** 2
    observed = float((k * centred).sum()) / scale
    exceeding = 0
    for _ in range(permutations):
        order = rng.permutation(n)
        exceeding += float((k[np.ix_(order, order)] * centred).sum()) / scale >= observed * (1 - 1e-12)
    return HSICTest(observed, (1 + exceeding) / (1 + permutations), n, permutations)


def _kernel(x: Float[np.ndarray, " n"]) -> Float64[np.ndarray, "n n"] | None:
    """A Gaussian kernel of the median distance between different points; None if there are none."""
    distance = np.abs(x[:, None] - x[None, :]).astype(np.float64)
    positive = distance[distance > 1e-12 * max(1.0, float(np.abs(x).max()))]
    if len(positive) == 0:
        return None
    return np.exp(-(distance**2) / (2 * float(np.median(positive)) ** 2))


@dataclass(frozen=True)
class QuantileTest:
    """Where a number stands among random draws of a reference.

    Attributes:
        share: Share of the draws below it; ties count half.
        p_above: p-value of H0 "at most a share q of the reference lies below": small shows that it is beyond.
        p_below: p-value of H0 "at least a share q of the reference lies below": small shows that it is not beyond.
    """

    share: float
    q: float
    p_above: float
    p_below: float
    n: int


def quantile_test(value: float, reference: Float[np.ndarray, " n"], *, q: float = QUANTILE) -> QuantileTest:
    """Compare a number with the q-quantile of a distribution that can be drawn from, by the binomial test."""
    from scipy.stats import binomtest

    if not 0 < q < 1:
        raise RunError(f"q must lie between 0 and 1 (which quantile to compare with), not {q}")
    n = len(reference)
    below = float((reference < value).sum()) + float((reference == value).sum()) / 2
    above = binomtest(math.floor(below), n, q, alternative="greater").pvalue
    beneath = binomtest(math.ceil(below), n, q, alternative="less").pvalue
    return QuantileTest(below / n, q, float(above), float(beneath), n)


def check_correction(method: str) -> None:
    """Raise `UnknownNameError` unless there is such a correction."""
    if method not in CORRECTIONS:
        raise unknown_name("correction", method, CORRECTIONS)


def adjust(p_values: Sequence[float], method: str = CORRECTION) -> list[float]:
    """p-values of a family of tests, adjusted for their number: reject where the adjusted one is at most alpha.

    `holm` bounds the probability of any false rejection, whatever the dependence (Holm 1979); `bh` the expected share
    of false ones among the rejections, if the tests are independent or positively dependent (Benjamini and Hochberg
    1995); `by` the same under any dependence (Benjamini and Yekutieli 2001).

    >>> adjust([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    check_correction(method)
    if not p_values:
        return []
    if method != "holm":
        from scipy.stats import false_discovery_control

        return [float(p) for p in false_discovery_control(list(p_values), method=method)]
    order, found, largest = sorted(range(len(p_values)), key=lambda i: p_values[i]), [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        found[i] = largest
    return found
