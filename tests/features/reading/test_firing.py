"""Which features fire on a prompt."""

import pytest

from acdc.errors import ModelError, TaskError
from acdc.features.reading import features_on
from tests.features.reading.planted import AFTER, ON, planted
from tests.features.test_dictionary import tiny_dictionary


def test_planted_features_fire_where_they_should() -> None:
    model, dictionary, _, token, reading = planted()
    name = reading.names[token]
    found = features_on(model, dictionary, f" q{name} k{name} h")
    at = {feature: set(rows["position"]) for feature, rows in found.frame().groupby("feature")}
    places = {i for i, text in enumerate(found.tokens) if text == name}
    assert len(places) == 2 and at[ON] - {0} == places
    assert at[AFTER] - {0} == {place + 1 for place in places}
    assert found.frame()["activation"].is_monotonic_decreasing


def test_mistakes_are_told() -> None:
    model, dictionary = planted().model, planted().dictionary
    with pytest.raises(TaskError, match="the text is empty"):
        features_on(model, dictionary, "")
    with pytest.raises(ModelError, match="reads 24 dimensions"):
        features_on(model, tiny_dictionary(d=24), " a")
    with pytest.raises(TaskError, match="longer than the context"):
        features_on(model, dictionary, " a" * 40)
