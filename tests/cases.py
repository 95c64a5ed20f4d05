"""Which combinations of several things the default run tries."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest


def covering(*axes: Iterable[Any]) -> list[Any]:
    """All combinations, most of them `slow`: the others have each value of two axes, each pair of values of three.

    With m the length of the shortest axis, every m-th combination is left unmarked, along the diagonals.

    >>> [case.values for case in covering("abc", (1, 2)) if not case.marks]
    [('a', 1), ('b', 2), ('c', 1)]
    """
    axes = [list(axis) for axis in axes]
    m = min(map(len, axes))
    return [
        pytest.param(*values, id="-".join(map(str, values)), marks=() if _turn(places) % m == 0 else pytest.mark.slow)
        for places, values in zip(product(*(range(len(axis)) for axis in axes)), product(*axes), strict=True)
    ]


def _turn(places: tuple[int, ...]) -> int:
    """Where two axes run together this is 0; a third one fixes the first two's difference."""
    first, *others = places
    return first - others[0] + sum(others[1:])
