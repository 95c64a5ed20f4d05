"""Permutation tests beside all permutations, and beside scipy's."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import permutation_test

from acdc.evaluation.permutation import larger_means, paired_p


def test_one_column_is_tested_as_scipy_tests_it() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.exponential(2, (9, 1)), rng.exponential(1, (7, 1))
    exact = permutation_test(
        (a[:, 0], b[:, 0]),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        alternative="greater",
        n_resamples=np.inf,  # all 11,440 of them
    )
    assert larger_means(a, b)[0] == pytest.approx(exact.pvalue, abs=0.01)


def test_several_columns_are_adjusted_by_the_largest_of_them_in_all_permutations() -> None:
    """The step-down procedure of Westfall and Young, written out."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 1, (4, 3)) * [2, 1, 0], rng.normal(0, 1, (5, 3)) * [2, 1, 0]
    a[:, 1] += 0.5
    both = np.concatenate([a, b])
    z = (both - both.mean(0)) / np.where(both.std(0) > 0, both.std(0), 1)
    sums = np.array([z[list(rows)].sum(0) for rows in combinations(range(9), 4)])
    order, right, least = np.argsort(-z[:4].sum(0), kind="stable"), np.zeros(3), 0.0
    for i, column in enumerate(order):
        least = max(least, float((sums[:, order[i:]].max(1) >= z[:4, column].sum() - 1e-9).mean()))
        right[column] = least
    assert larger_means(a, b) == pytest.approx(right, abs=0.015) and larger_means(a, b)[2] == 1


def test_pairs_that_could_have_been_the_other_way_round() -> None:
    assert paired_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])) == 2 / 64  # all 64 signs; as extreme: all, or none
    assert paired_p(np.array([1.0, -1.0, 2.0, -2.0])) == 1
    assert paired_p(np.zeros(5)) == paired_p(np.ones(1)) == 1
