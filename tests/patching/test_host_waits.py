"""No engine makes the host wait for the device between a question and its answer.

On a GPU, work is queued faster than it is done, unless a number is asked for on the way: `item`, `nonzero`, an index of
booleans. On the CPU these are seen as the operations that they are.
"""

import traceback

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from acdc.discovery.attribution.eap import eap
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from tests.tiny import tiny_batch, tiny_model

WAITS = {
    f"aten.{name}"
    for name in ("_local_scalar_dense", "equal", "is_nonzero", "masked_select", "nonzero", "_unique2", "unique_dim")
}
ON_HOST = {  # functions that ask only where tensors are the host's own: of a graph, or with a look at the device
    "_compact",
    "check_mask",
    "values",
}
FAMILIES = ("gpt2", "llama-gqa", "gemma2", "olmo2")


class Watch(TorchDispatchMode):
    """Notes each operation whose outcome the host must wait for, and the function of ours that asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).rsplit(".", 1)[0]
        chosen_by = args[1] if name in ("aten.index", "aten.index_put_") else ()
        if name in WAITS or any(index is not None and index.dtype == torch.bool for index in chosen_by):
            self._note(name)
        return func(*args, **(kwargs or {}))

    def _note(self, name: str) -> None:
        ours = [frame for frame in traceback.extract_stack() if "acdc/" in frame.filename and frame.name != "_note"]
        place = ours[-1].name if ours and "/tests/" not in ours[-1].filename else "test"
        if place not in ON_HOST:
            self.waits.append(f"{name} in {place}")


def problem_of(family: str, metric: str = "nll") -> Problem:
    return Problem.make(tiny_model(family), tiny_batch(), metric=metric)


def test_what_waits_is_seen() -> None:
    with Watch() as watch:
        numbers = torch.arange(3)
        numbers[numbers > 0].sum().item()
        numbers.nonzero()
    assert len(watch.waits) == 3


@pytest.mark.parametrize("metric", ["nll", "kl"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_propagation_makes_nobody_wait_but_for_its_losses(family: str, metric: str) -> None:
    state = CircuitState(problem_of(family, metric))
    edges = [(src, dst) for dst in range(state.graph.n_dst - 1, state.graph.n_dst - 10, -1) for src in (0, 1)]
    removed = np.tril(np.ones((len(edges), len(edges)), dtype=bool))
    with Watch() as watch:
        state.losses(edges, removed)
    assert not watch.waits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_masked_forward_makes_nobody_wait(family: str) -> None:
    problem = problem_of(family)
    whole = problem.model.graph.edges_mask
    mask = whole & (torch.rand(whole.shape, generator=torch.Generator().manual_seed(0)) < 0.5)
    problem.logits(mask)  # what all passes start from is made once
    with Watch() as watch:
        problem.logits(mask)
    assert not watch.waits


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_make_nobody_wait_but_once_for_some_prompts_layout(family: str) -> None:
    """Which positions a microbatch has is known before its runs begin; no layer asks."""
    problem = problem_of(family)
    with Watch() as watch:
        eap(problem)
    once = {"select", "of"}
    assert len(watch.waits) <= len(once) and {wait.split(" in ")[1] for wait in watch.waits} <= once, watch.waits
