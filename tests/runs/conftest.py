"""A tiny model and a run of it, for the tests of what is done with a run."""

import pytest

from acdc import PatchableModel, discover
from acdc.runs.result import RunResult
from tests.runs.evaluated import Random
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model() -> PatchableModel:
    return tiny_model("gpt2")


@pytest.fixture(scope="module")
def run(model: PatchableModel, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return discover(model, Random, n=6, tau=0.02, out=tmp_path_factory.mktemp("runs"), prune=False)
