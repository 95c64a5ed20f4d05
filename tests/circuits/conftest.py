"""A graph of every kind, for the tests that hold for each of them."""

import pytest

from acdc.circuits.graph import Graph
from tests.circuits.examples import GRAPHS, IDS


@pytest.fixture(params=GRAPHS, ids=IDS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return request.param
