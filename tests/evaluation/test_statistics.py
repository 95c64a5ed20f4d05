"""The tests have the size that they claim, by exact enumeration or by simulation under their null."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, multinomial

from acdc.errors import ACDCError
from acdc.evaluation import adjust, hsic_test, quantile_test, sign_test


def differences(wins: int, losses: int, ties: int) -> np.ndarray:
    return np.array([1.0] * wins + [-1.0] * losses + [0.0] * ties)


def rejection_rates(n: int, win: float, loss: float, alpha: float, epsilon: float) -> tuple[float, float]:
    """P(p_differs <= alpha) and P(p_equivalent <= alpha) where wins and losses have these probabilities: exact."""
    tie, rates = 1 - win - loss, np.zeros(2)
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            found = sign_test(differences(wins, losses, n - wins - losses), epsilon=epsilon)
            mass = multinomial.pmf([wins, losses, n - wins - losses], n, [win, loss, max(0.0, tie)])
            rates += mass * np.array([found.p_differs <= alpha, found.p_equivalent <= alpha])
    return float(rates[0]), float(rates[1])


@pytest.mark.parametrize("ties", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_sign_test_keeps_its_size_at_the_edge_of_either_null(ties: float, alpha: float) -> None:
    """At P = 1/2 + epsilon both nulls are true; neither may be rejected more often than alpha says."""
    epsilon = 0.1
    win, loss = 0.5 + epsilon - ties / 2, 0.5 - epsilon - ties / 2
    for rate in rejection_rates(16, win, loss, alpha, epsilon):
        assert rate <= alpha + 1e-12


def test_without_ties_the_sign_test_is_the_sum_over_both_tails() -> None:
    n, wins, epsilon = 30, 22, 0.1
    expected = sum(
        binom.pmf(k, n, 0.5 + epsilon) for k in range(n + 1) if abs(k / n - 0.5) >= abs(wins / n - 0.5) - 1e-12
    )
    assert sign_test(differences(wins, n - wins, 0)).p_differs == pytest.approx(expected)
    assert sign_test(differences(n - wins, wins, 0)).p_differs == pytest.approx(expected), "symmetric"


def test_the_sign_test_sees_difference_and_equivalence() -> None:
    assert sign_test(differences(95, 5, 0)).p_differs < 1e-4
    assert sign_test(differences(250, 250, 0)).p_equivalent < 1e-4
    few = sign_test(differences(5, 5, 0))
    assert few.p_differs > 0.5 and few.p_equivalent > 0.05, "too few prompts show neither"
    identical = sign_test(differences(0, 0, 100))
    assert identical.ties == 100 and identical.p_differs == 1 and identical.p_equivalent < 0.05


def test_differences_within_the_tolerance_are_ties() -> None:
    found = sign_test(np.array([1e-7, -1e-7, 0.5]), tolerance=1e-6)
    assert (found.wins, found.losses, found.ties) == (1, 0, 2)
    assert found.share == pytest.approx(2 / 3)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, -1.0])
def test_an_epsilon_out_of_range_is_refused(epsilon: float) -> None:
    with pytest.raises(ACDCError, match="epsilon must lie between"):
        sign_test(differences(1, 1, 1), epsilon=epsilon)


def test_hsic_keeps_its_size_and_sees_dependence_that_correlation_does_not() -> None:
    rng, alpha = np.random.default_rng(0), 0.1
    null = [hsic_test(rng.normal(size=25), 100 * rng.gamma(1, size=25), permutations=99, seed=i).p for i in range(300)]
    assert 0.06 < np.mean(np.array(null) <= alpha) < 0.14
    x = rng.normal(size=60)
    assert hsic_test(x, x**2, permutations=199).p <= 0.01
    assert hsic_test(x, 1e-3 * x**2 + 7, permutations=199).p <= 0.01, "units don't matter"


def test_hsic_is_the_definition() -> None:
    rng = np.random.default_rng(1)
    x, y, n = rng.normal(size=12), rng.normal(size=12), 12

    def kernel(v: np.ndarray) -> np.ndarray:
        distances = [abs(a - b) for i, a in enumerate(v) for j, b in enumerate(v) if i != j]
        width = np.median(distances)
        return np.array([[math.exp(-((a - b) ** 2) / (2 * width**2)) for b in v] for a in v])

    h = np.eye(n) - 1 / n
    expected = np.trace(kernel(x) @ h @ kernel(y) @ h) / (n - 1) ** 2
    assert hsic_test(x, y, permutations=5).statistic == pytest.approx(expected)


def test_a_permutation_p_value_is_never_0_and_a_constant_depends_on_nothing() -> None:
    x = np.arange(20.0)
    assert hsic_test(x, x, permutations=50).p == pytest.approx(1 / 51)
    assert hsic_test(x, np.ones(20)).p == 1
    assert hsic_test(x, x + 1, seed=4) == hsic_test(x, x + 1, seed=4)


def test_quantile_test_is_the_binomial_test() -> None:
    reference = np.arange(100.0)
    found = quantile_test(84.5, reference, q=0.9)
    assert found.share == 0.85
    assert found.p_below == pytest.approx(binomtest(85, 100, 0.9, alternative="less").pvalue)
    assert found.p_above == pytest.approx(binomtest(85, 100, 0.9, alternative="greater").pvalue)


def test_quantile_test_keeps_its_size_both_ways() -> None:
    """A value at the reference's q-quantile: either null is true there."""
    rng, q, alpha = np.random.default_rng(0), 0.8, 0.1
    found = [quantile_test(q, rng.random(60), q=q) for _ in range(2000)]
    assert np.mean([test.p_above <= alpha for test in found]) <= alpha + 0.02
    assert np.mean([test.p_below <= alpha for test in found]) <= alpha + 0.02


def test_a_value_that_ties_with_everything_is_neither_above_nor_redundant_for_sure() -> None:
    found = quantile_test(0.0, np.zeros(50), q=0.9)
    assert found.share == 0.5 and found.p_above > 0.99


def test_holm_is_its_definition_and_scipy_does_the_others() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert adjust(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust(p, "bh") == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert adjust([]) == []
    with pytest.raises(ACDCError, match="unknown correction"):
        adjust(p, "bonferoni")


def test_holm_bounds_the_chance_of_any_false_rejection() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((2000, 10))
    family = np.mean([min(adjust(list(row))) <= 0.1 for row in p])
    assert 0.07 < family < 0.13
    with_signal = np.concatenate([rng.random((2000, 5)) * 1e-4, rng.random((2000, 5))], 1)
    false = np.mean([min(adjust(list(row))[5:]) <= 0.1 for row in with_signal])
    assert false <= 0.12
