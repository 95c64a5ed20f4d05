"""A wrong shape is told on a test's first calls of a function, now and then later, and always with `--every-call`."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from acdc.circuits.graph import Graph
from tests.signatures import Now, at_first


def summed() -> Callable:
    """The sum of two equally long vectors; a function that is made anew each time, as one within another is."""

    @at_first(typechecker=beartype)
    def total(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Float[Tensor, ""]:
        return x.sum() + y.sum()

    return total


def refused(n: int, functions: Callable[[], Callable]) -> list[int]:
    """Which of `n` calls of wrong shape are refused, counted from 1."""
    found = []
    for call in range(1, n + 1):
        try:
            functions()(torch.ones(2), torch.ones(3))
        except TypeCheckError:
            found.append(call)
    return found


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Now, "every_call", False)
    monkeypatch.setattr(Now, "test", Now.test)


def test_a_test_s_first_calls_are_checked_and_then_ever_fewer() -> None:
    total = summed()
    assert refused(40, lambda: total) == [*range(1, 9), 16, 32]
    Now.test -= 1  # another test
    assert refused(9, lambda: total) == [*range(1, 9)]


def test_a_function_within_a_function_is_counted_once() -> None:
    assert refused(20, summed) == [*range(1, 9), 16]


def test_every_call_is_checked_if_asked_for() -> None:
    Now.every_call = True
    assert refused(20, summed) == [*range(1, 21)]


def test_right_calls_are_answered_and_a_result_is_checked() -> None:
    @at_first(typechecker=beartype)
    def doubled(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return torch.cat([x, x])

    assert summed()(torch.ones(2), torch.ones(2)).item() == 4
    with pytest.raises(TypeCheckError, match="return value"):
        doubled(torch.ones(2))


def test_a_dataclass_is_checked() -> None:
    @at_first(typechecker=beartype)
    @dataclass
    class Held:
        x: Float[Tensor, " n"]

    with pytest.raises(TypeCheckError):
        Held(torch.ones(2, 2))


def test_the_package_s_functions_are_checked() -> None:
    with pytest.raises(TypeCheckError):
        Graph(d_model="8", n_layers=2, n_heads=2)
