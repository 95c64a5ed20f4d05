"""A running top-k is what a sort of everything would keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.features.reading.running import RunningTop, best_of_groups


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 40))
def test_it_is_the_sort_of_everything_however_it_comes(seed: int, k: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    feature, key = rng.integers(0, 4, 120), rng.integers(0, 10, 120).astype(float)  # many keys tie
    where = np.arange(120)
    running = RunningTop(4, k)
    for start in range(0, 120, size):
        piece = slice(start, start + size)
        running.add(feature[piece], key[piece], where[piece], key[piece])
    for i in range(4):
        ranked = sorted((-value, place) for value, place in zip(key[feature == i], where[feature == i], strict=True))[
            :k
        ]
        assert running.where[i, : len(ranked)].tolist() == [place for _, place in ranked]
        assert running.value[i, : len(ranked)].tolist() == [-value for value, _ in ranked]
        assert (running.where[i, len(ranked) :] == -1).all()


def test_nothing_comes_in_and_nothing_is_there() -> None:
    running, none = RunningTop(2, 3), np.zeros(0)
    running.add(none.astype(int), none, none.astype(int), none)
    assert (running.where == -1).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_each_window_is_its_first_largest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    feature, group, key = rng.integers(0, 3, 60), np.sort(rng.integers(0, 5, 60)), rng.integers(0, 4, 60).astype(float)
    best: dict[tuple[int, int], int] = {}
    for i in range(60):
        at = (int(feature[i]), int(group[i]))
        if at not in best or key[i] > key[best[at]]:
            best[at] = i
    assert best_of_groups(feature, group, key).tolist() == sorted(best.values())
