"""A search can't tell recorded losses from measured ones, and the engine counts both alike."""

import math
from collections import deque

import pytest
import torch

from acdc.discovery.measured import MeasuredLosses
from acdc.errors import RunError
from acdc.patching.exact.state import CircuitState, Edge
from acdc.patching.problem import Problem
from tests.discovery.test_acdc import Memory
from tests.tiny import tiny_batch, tiny_model


def asked(problem: Problem, checkpoint: Memory) -> tuple[CircuitState, list[list[float]]]:
    """A state of which some losses were asked, with removals in between."""
    state = CircuitState(problem)
    losses, answers = MeasuredLosses(state, checkpoint), []
    for dst in (problem.model.graph.n_dst - 1, problem.model.graph.mlp_dst(1), problem.model.graph.head_dst(1, "v")):
        edges: list[Edge] = [(src, dst) for src in range(3)]
        answers.append(losses(edges))
        state.remove([edges[1]], answers[-1][1])
    return state, answers


@pytest.mark.parametrize("n_recorded", [0, 1, 2, 3])
def test_answers_and_counts_are_the_same_however_many_are_recorded(n_recorded: int) -> None:
    problem, whole = Problem.make(tiny_model("gpt2"), tiny_batch()), Memory()
    state, answers = asked(problem, whole)
    resumed = Memory(recorded=deque(answers[:n_recorded]))
    again, same = asked(problem, resumed)
    assert same == answers, "to the last bit"
    assert whole.written == answers and resumed.written == answers[n_recorded:]
    assert (again.forward_passes, again.propagations) == (state.forward_passes, state.propagations)
    assert again.loss == state.loss and (again.mask == state.mask).all()


def test_a_loss_that_is_nan_is_an_error_and_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, checkpoint = Problem.make(tiny_model("gpt2"), tiny_batch()), Memory()
    monkeypatch.setattr(CircuitState, "losses", lambda self, *question: torch.tensor([0.1, math.nan]))
    edges = [(0, problem.model.graph.n_dst - 1), (1, problem.model.graph.n_dst - 1)]
    with pytest.raises(RunError, match="NaN near input->logits; use a wider dtype"):
        MeasuredLosses(CircuitState(problem), checkpoint)(edges)
    assert not checkpoint.written
