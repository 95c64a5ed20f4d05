"""The combinations that are tried by default hold each value of two axes, and each pair of values of three."""

from itertools import combinations, product

import pytest

from tests.cases import covering


@pytest.mark.parametrize("lengths", [(3, 3), (5, 2), (2, 7), (4, 5, 4), (20, 5, 4), (2, 3, 9), (3, 2, 2)])
def test_no_value_of_two_axes_and_no_pair_of_three_is_left_out(lengths: tuple[int, ...]) -> None:
    cases = covering(*map(range, lengths))
    assert [case.values for case in cases] == list(product(*map(range, lengths))), "none is lost"
    chosen = [case.values for case in cases if not case.marks]
    assert len(chosen) <= len(cases) / (min(lengths) - 0.5) or len(chosen) == len(cases)
    for places in combinations(range(len(lengths)), len(lengths) - 1):
        seen = {tuple(values[i] for i in places) for values in chosen}
        assert seen == set(product(*(range(lengths[i]) for i in places)))
