"""What every engine says of a problem, as one tensor each: to be compared between devices."""

from collections.abc import Callable

from torch import Tensor

from acdc.patching.exact.state import CircuitState
from acdc.patching.gradient.attribution import Point, edge_effects
from acdc.patching.problem import Problem
from acdc.patching.weighted import weighted_logits

__all__ = ["ENGINES", "masked"]


def logits(problem: Problem) -> Tensor:
    return problem.clean.logits


def masked(problem: Problem) -> Tensor:
    mask = problem.model.graph.edges_mask.clone()
    mask[::3] = False
    return problem.logits(mask)


def gradients(problem: Problem) -> Tensor:
    return edge_effects(problem, lambda microbatch: [Point(1.0, microbatch.clean)])[0].nan_to_num()


def weighted(problem: Problem) -> Tensor:
    weights = (problem.model.graph.edges_mask.double() / 2).requires_grad_()
    problem.objective.loss(weighted_logits(problem.masked, weights)).sum().backward()
    assert weights.grad is not None
    return weights.grad


def exact(problem: Problem) -> Tensor:
    state = CircuitState(problem)
    state.remove([(0, 0), (1, problem.model.graph.n_dst - 1)])
    return state.losses([(0, 1), (0, 2), (0, problem.model.graph.n_dst - 1)])


ENGINES: list[Callable[[Problem], Tensor]] = [logits, masked, gradients, weighted, exact]
