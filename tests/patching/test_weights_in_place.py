"""Weights are read where they are: no engine copies those of a layer, whole or head by head."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from acdc.models import PatchableModel
from acdc.patching.exact.state import CircuitState
from acdc.patching.gradient.attribution import Point, edge_effects
from acdc.patching.problem import Problem
from acdc.patching.weighted import weighted_logits
from tests.configs import ONE_EACH
from tests.tiny import tiny_batch, tiny_model

COPYING = (
    "clone",
    "_to_copy",
    "index",
    "index_select",
    "gather",
    "repeat",
    "repeat_interleave",
    "cat",
    "stack",
    "copy_",
)


class Copies(TorchDispatchMode):
    """Within it, operations that copy a weight of attention are noted."""

    def __init__(self, model: PatchableModel) -> None:
        super().__init__()
        blocks = model.components.blocks
        weights = [w for b in blocks for w in (b.attention.W_Q, b.attention.W_K, b.attention.W_V, b.attention.W_O)]
        self.places = {weight.untyped_storage().data_ptr() for weight in weights}
        self.found = list[str]()

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = function._schema.name.removeprefix("aten::")
        read = args[1:2] if name == "copy_" else args[:1]
        tensors = [
            x for arg in read for x in (arg if isinstance(arg, list | tuple) else [arg]) if isinstance(x, Tensor)
        ]
        made = function(*args, **(kwargs or {}))
        if (
            name in COPYING
            and made.numel()
            and any(x.ndim > 1 and x.untyped_storage().data_ptr() in self.places for x in tensors)
        ):
            self.found.append(f"{function} of {[list(x.shape) for x in tensors]}")
        return made


def gradients(problem: Problem) -> None:
    edge_effects(problem, lambda microbatch: [Point(1.0, microbatch.clean)])


def masked(problem: Problem) -> None:
    problem.logits(problem.model.graph.edges_mask)


def weighted(problem: Problem) -> None:
    weights = problem.model.graph.edges_mask.double().requires_grad_()
    weighted_logits(problem.masked, weights).sum().backward()


def exact(problem: Problem) -> None:
    CircuitState(problem).losses([(0, 0)])


@pytest.mark.parametrize("work", [gradients, masked, weighted, exact])
@pytest.mark.parametrize("family", [f for f in ONE_EACH if f != "falcon"])
def test_no_weight_of_attention_is_copied(family: str, work: Callable[[Problem], None]) -> None:
    problem = Problem.make(tiny_model(family), tiny_batch())
    with Copies(problem.model) as copies:
        work(problem)
    assert not copies.found
