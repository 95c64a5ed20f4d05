"""A graph of every kind, for the tests that hold for each of them."""

import pytest

from acdc.circuits.graph import Graph
from tests.circuits.examples import GRAPHS, IDS, SPLIT


@pytest.fixture(params=[*GRAPHS, SPLIT], ids=[*IDS, "split"])
def graph(request: pytest.FixtureRequest) -> Graph:
    return request.param


@pytest.fixture(params=GRAPHS, ids=IDS)
def whole_graph(request: pytest.FixtureRequest) -> Graph:
    """One whose edges are not split: what other tools' files hold."""
    return request.param
