"""A search says once how long it takes: behind the first step that it makes, and only if that is long."""

import itertools

import pytest

from acdc.features.circuits import find, forecast
from acdc.features.circuits.forecast import Forecast
from tests.features.circuits.tiny import SITES, runs_on, sae, tiny_problem, transcoder

DICTIONARIES = [sae(SITES[0]), transcoder(1)]


def notes_of(seconds: float, monkeypatch: pytest.MonkeyPatch, *, known: int = 0) -> list[str]:
    """What is told where a step takes so many seconds, and the first ones are known."""
    clock, told, left = itertools.count(0, seconds), [], [known]
    monkeypatch.setattr(forecast.time, "monotonic", lambda: float(next(clock)))
    kept = {}

    def step(name, make):
        if left[0]:
            left[0] -= 1
            return kept[name]
        return make()

    problem, options = tiny_problem(), {"faithfulness": 0.5, "steps": 1, "n_joined": 4}
    if known:
        find(problem, DICTIONARIES, step=lambda name, make: kept.setdefault(name, make()), **options)
    find(problem, DICTIONARIES, step=step, progress=told.append, **options)
    return [each.note for each in told if each.note]


def test_it_is_told_once_and_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = notes_of(60.0, monkeypatch)
    assert whole.startswith("the search takes about ")
    parts = whole.split(": ")[1].split(", ")
    assert len(parts) == 3
    for part, stage in zip(parts, ("gradients", "at most 12 circuits", "edges"), strict=True):
        assert part.startswith(f"{stage} ")
    assert len(notes_of(60.0, monkeypatch, known=1)) == 1
    assert notes_of(0.001, monkeypatch) == []


def test_the_work_is_that_of_what_is_asked() -> None:
    """The first gradient's seconds times what is left: sites in proportion to the blocks behind them."""
    runs = runs_on(tiny_problem(), DICTIONARIES)
    many, few = Forecast(runs, 10, 100, True), Forecast(runs, 10, 0, False)
    first, second = many._effects()
    assert first > second  # it has three blocks behind it and the ablated values to make, the other two
    assert few._edges() == 0 < many._edges()
    alone = runs_on(tiny_problem(), DICTIONARIES[:1])
    assert Forecast(alone, 10, 100, True)._edges() == 0  # a single site's effects are its edges
    assert "circuits" not in few._words(100.0, 1.0)
