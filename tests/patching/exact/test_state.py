"""`CircuitState` answers what whole masked forwards answer, wherever it is asked."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from acdc.patching.exact.reachability import reading
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from tests.tiny import ONE_EACH, KeepDouble, tiny_batch, tiny_model


def loss_of(problem: Problem, mask: torch.Tensor) -> float:
    return problem.objective.loss(problem.logits(mask)).item()


@pytest.mark.parametrize(
    ("ablation", "family"),
    [("corrupt", family) for family in ONE_EACH]
    + [("zero", family) for family in ("gpt2", "llama-gqa", "gemma2", "olmo2", "gpt-oss")],
)
def test_random_removals_in_any_order_give_the_masked_forward_s_loss(ablation: str, family: str) -> None:
    """Not only in ACDC's order: removed sources may have changed before, and removals may be folded at any time.

    With zeros, a model's own float32 norm may read numbers just between two float32 numbers, where the order of a sum
    decides: so float64 is kept there.
    """
    with KeepDouble() if ablation == "zero" else nullcontext():
        check_random_removals(Problem.make(tiny_model(family), tiny_batch(), ablation=ablation))


def check_random_removals(problem: Problem) -> None:
    """Every loss that the state gives on its way is the masked forward's."""
    state, rng = CircuitState(problem), random.Random(1)
    graph = problem.model.graph
    for _ in range(8):
        kept = [(i, j) for i, j in torch.from_numpy(state.mask).nonzero().tolist() if state.is_useful(j)]
        if len(kept) < 3:  # little is left of a small model
            break
        trials = rng.sample(kept, 3)
        losses = state.losses(trials)
        for edge, loss in zip(trials, losses.tolist(), strict=True):
            mask = torch.from_numpy(state.mask.copy())
            mask[edge] = False
            assert loss == pytest.approx(loss_of(problem, mask), abs=1e-10)
        state.remove([trials[0]], losses[0].item())
        assert state.loss == pytest.approx(loss_of(problem, torch.from_numpy(state.mask)), abs=1e-10)
        # and some at once, anywhere
        dst = rng.choice([j for _, j in kept])
        bundle = [(i, dst) for i in range(graph.n_src) if state.mask[i, dst]][:3]
        bundle += [edge for edge in trials[1:] if state.mask[edge] and edge not in bundle]
        if bundle and all(state.is_useful(j) for _, j in bundle):
            loss = state.losses(bundle, np.ones((1, len(bundle)), bool))[0].item()
            state.remove(bundle, loss)
            assert loss == pytest.approx(loss_of(problem, torch.from_numpy(state.mask)), abs=1e-10)


@pytest.mark.parametrize("share", [0.15, 0.3, 0.6])
def test_what_reading_calls_read_at_the_target_alone_is(share: float) -> None:
    """With one more position that nobody may read spoilt, the logits stay; where it is read, some move."""
    problem = Problem.make(tiny_model("gpt2"), tiny_batch())
    graph, moved = problem.model.graph, set()
    generator = torch.Generator().manual_seed(2)
    mask = graph.edges_mask & (torch.rand(graph.n_src, graph.n_dst, generator=generator) < share)
    read = reading(graph, mask.numpy())
    for layer, block in enumerate(problem.model.components.blocks):
        everywhere = bool((mask[graph.mlp_src(layer)].numpy() & read.everywhere).any())
        before = problem.logits(mask)
        hook = block.mlp.register_forward_hook(lambda module, args, out: spoil(out))
        same = torch.allclose(problem.logits(mask), before, atol=1e-12)
        hook.remove()
        assert everywhere or same
        moved.add((everywhere, same))
    assert moved <= {(True, False), (False, True), (True, True)}


def spoil(out: torch.Tensor) -> torch.Tensor:
    """The MLP's output, moved at every position but the target."""
    return torch.cat([out[:, :-1] + 1.0, out[:, -1:]], 1)
