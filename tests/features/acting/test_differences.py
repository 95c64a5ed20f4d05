"""Features that differ between two sets are found, and of sets that are alike hardly ever any."""

import numpy as np
import pytest
from scipy.stats import binom

from acdc.features.acting.differences import ContrastRow, chosen_features, held_out_rows


def drawn(rng: np.random.Generator, n: int, shares: np.ndarray) -> np.ndarray:
    """Activations that are mostly zero, and skewed where they aren't."""
    return np.where(rng.random((n, len(shares))) < shares, np.exp(rng.normal(0, 1, (n, len(shares)))), 0.0)


def report(seed: int, n: int, *, planted: float = 0.0) -> tuple[ContrastRow, ...]:
    """Two sets of 2 n prompts and 200 features that seldom fire; in the first, feature 7 does more often."""
    rng = np.random.default_rng(seed)
    second = 0.3 * rng.random(200) ** 3
    first = second + planted * (np.arange(200) == 7)
    features, apart = chosen_features(drawn(rng, n, first), drawn(rng, n, second), 10)
    tested = [drawn(rng, n, shares)[:, features] for shares in (first, second)]
    return held_out_rows(features, apart, tested[0], tested[1], seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 15, 60])
def test_of_sets_that_are_alike_at_most_5_percent_of_reports_claim_anything(n: int) -> None:
    claims = sum(any(row.holds for row in report(seed, n)) for seed in range(400))
    assert claims <= binom.ppf(0.999, 400, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("n, at_least", [(15, 0.3), (60, 0.8)])
def test_a_planted_difference_is_found(n: int, at_least: float) -> None:
    found = [any(row.holds and row.feature == 7 for row in report(seed, n, planted=0.5)) for seed in range(100)]
    assert np.mean(found) >= at_least


def test_what_differs_is_chosen_and_holds_and_what_fires_hardly_at_all_is_not_chosen() -> None:
    first, second = np.zeros((20, 4)), np.zeros((20, 4))
    first[:, 2], second[:8, 1], first[:2, 0] = 1.5, 4.0, 9.0  # of two prompts, whatever they differ by is chance
    features, apart = chosen_features(first, second, 10)
    assert features.tolist() == [2, 1] and apart.tolist() == [1.5, -1.6]
    more, less = held_out_rows(features, apart, first[:, features], second[:, features])
    assert (
        more.holds
        and (more.first.fires, more.second.fires) == (1, 0)
        and more.fires.low == pytest.approx(0.773, abs=1e-3)
    )
    assert less.holds and less.difference.value == -1.6 and (less.difference.low, less.difference.high) == (None, None)
    other = held_out_rows(features, -apart, first[:, features], second[:, features])
    assert not any(row.holds for row in other)  # not in the direction in which it was chosen
