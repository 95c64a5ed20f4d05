"""Speculation gives any greedy search the rises that measuring one edge after another gives."""

import random

import pytest
import torch

from acdc.patching.exact.speculation import Speculation
from acdc.patching.exact.state import CircuitState, Edge
from acdc.patching.problem import Problem
from tests.patching.exact.test_state import loss_of, random_mask
from tests.tiny import tiny_batch, tiny_model

TAU = 0.02


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem.make(tiny_model("llama-gqa"), tiny_batch())


def removes(rise: float) -> bool:
    return rise < TAU


def searched(problem: Problem, expects, width: int | None) -> tuple[dict[Edge, float], CircuitState, Speculation]:
    """The rises of a search from some circuit on, in any order of its edges, whose decisions are `removes`."""
    state = CircuitState(problem, random_mask(problem.model.graph, 0.7))
    speculation = Speculation(state, expects, lambda *question: state.losses(*question).tolist(), width)
    edges = [(src, dst) for src, dst in torch.from_numpy(state.mask).nonzero().tolist()]
    random.Random(3).shuffle(edges)
    rises = {}
    for trial in speculation.trials(edges):
        rises[trial.edge] = trial.rise
        if removes(trial.rise):
            state.remove([trial.edge], trial.loss)
    return rises, state, speculation


@pytest.mark.parametrize("width", [2, 16, None])
def test_predictions_change_no_rise(problem: Problem, width: int | None) -> None:
    alone, one, _ = searched(problem, removes, 1)
    for expects in (removes, lambda rise: True, lambda rise: False):
        rises, state, _ = searched(problem, expects, width)
        assert rises == pytest.approx(alone, abs=1e-10)
        assert (state.mask == one.mask).all() and state.loss == pytest.approx(one.loss, abs=1e-10)


def test_rises_are_those_of_the_masked_forward(problem: Problem) -> None:
    rises, state, speculation = searched(problem, removes, None)
    assert speculation.measured + speculation.free <= len(rises)
    assert state.loss == pytest.approx(loss_of(problem, torch.from_numpy(state.mask)), abs=1e-10)
    assert 0 < state.n_edges < len(rises) and state.n_edges == state.mask.sum()
    assert (state.outgoing == state.mask.sum(1)).all()
    assert state.forward_passes > speculation.measured > state.propagations
