"""The algebra of influence on matrices: rows are shares, paths sum up, the fewest that carry most are kept."""

import numpy as np
import pytest

from acdc.circuits.flow import fewest, kept, shares, sum_of_paths

pytestmark = pytest.mark.fast


def test_rows_are_shares_and_a_row_of_zeros_stays() -> None:
    assert shares(np.array([[1.0, -3.0], [0.0, 0.0]])).tolist() == [[0.25, 0.75], [0.0, 0.0]]


def test_rows_may_stand_for_some_nodes_only_in_any_order() -> None:
    rng = np.random.default_rng(0)
    whole = shares(np.tril(rng.normal(size=(9, 9)), -1))
    roots = np.eye(9)[8]
    rows = rng.permutation(np.arange(1, 9))
    expected = roots @ (np.linalg.inv(np.eye(9) - whole) - np.eye(9))
    assert sum_of_paths(whole, roots) == pytest.approx(expected, abs=1e-12)
    assert sum_of_paths(whole[rows], roots, rows) == pytest.approx(expected, abs=1e-12)
    assert sum_of_paths(-7 * whole[rows], roots, rows) == pytest.approx(expected, abs=1e-12)  # sizes alone count
    order = rng.permutation(9)  # nodes may stand in any order too
    found = sum_of_paths(whole[np.ix_(order, order)], roots[order])
    assert found == pytest.approx(expected[order], abs=1e-12)


def test_the_fewest_are_the_largest_and_ties_stay_together() -> None:
    assert fewest(np.array([0.1, 0.5, 0.2, 0.2]), 0.5).tolist() == [False, True, False, False]
    assert fewest(np.array([0.1, 0.5, 0.2, 0.2]), 0.6).tolist() == [False, True, True, True]


def test_what_reads_nothing_is_removed_where_it_could_read_and_a_source_is_not() -> None:
    """0 and 1 are sources; 2 reads 0 weakly, so that the edge is pruned and 2 with it, though the root reads it."""
    weights = np.array([[1e-9, 1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.2, 0.0, 0.0], [0.0, 0.0, 0.0, 1e-3, 0.0]])
    rows, always = np.array([2, 4, 3]), np.array([False, False, False, False, True])
    found = kept(weights, rows, np.eye(5)[4], always=always, nodes=1.0, edges=0.98)
    assert found.nodes.tolist() == [False, True, True, False, True]
    assert found.edges.tolist() == [[False, True] + [False] * 3, [False, True, True, False, False], [False] * 5]
    least = kept(weights, rows, np.eye(5)[4], always=always, nodes=0.5, edges=0.5)
    assert least.nodes.tolist() == [False, True, False, False, True]
