"""`CircuitState` answers what whole masked forwards answer, wherever it is asked."""

import random

import numpy as np
import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.patching.exact.reachability import reading
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from tests.configs import ONE_EACH
from tests.tiny import KeepDouble, kept_double, tiny_batch, tiny_model


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
    with KeepDouble() if ablation == "zero" else kept_double(family):
        problem = Problem.make(tiny_model(family), tiny_batch(), ablation=ablation)
        check_random_removals(problem, CircuitState(problem))


@pytest.mark.parametrize(
    ("ablation", "family", "share"),
    [("corrupt", family, 0.6) for family in ONE_EACH]
    + [("corrupt", family, share) for family in ("gpt2", "llama-gqa", "olmo2") for share in (0.1, 0.3, 0.9)]
    + [("zero", family, 0.5) for family in ("gpt2", "llama-gqa", "gemma2", "olmo2", "gpt-oss")],
)
def test_a_state_that_starts_at_any_circuit_gives_the_masked_forward_s_loss(
    ablation: str, family: str, share: float
) -> None:
    with KeepDouble() if ablation == "zero" else kept_double(family):
        problem = Problem.make(tiny_model(family), tiny_batch(), ablation=ablation)
        state = CircuitState(problem, random_mask(problem.model.graph, share))
        assert state.loss == pytest.approx(loss_of(problem, torch.from_numpy(state.mask)), abs=1e-10)
        check_random_removals(problem, state, steps=3)


def test_a_state_that_starts_at_the_whole_model_is_one_that_starts_nowhere_else() -> None:
    problem = Problem.make(tiny_model("gpt2"), tiny_batch())
    states = CircuitState(problem), CircuitState(problem, problem.model.graph.edges_mask)
    edges = [(src, dst) for src, dst in problem.model.graph.edges_mask.nonzero().tolist()]
    assert torch.equal(*(state.losses(edges) for state in states))
    assert states[0].loss == states[1].loss == problem.loss(problem.clean.logits)


def random_mask(graph: Graph, share: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return graph.edges_mask & (torch.rand(graph.n_src, graph.n_dst, generator=generator) < share)


def check_random_removals(problem: Problem, state: CircuitState, steps: int = 8) -> None:
    """Every loss that the state gives on its way is the masked forward's."""
    rng, graph = random.Random(1), problem.model.graph
    for _ in range(steps):
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
def test_what_reading_calls_read_at_the_last_position_alone_is(share: float) -> None:
    """With one more position that nobody may read spoilt, the logits stay; where it is read, some move."""
    problem = Problem.make(tiny_model("gpt2"), tiny_batch())
    graph, moved = problem.model.graph, set()
    mask = random_mask(graph, share)
    read = reading(graph, mask.numpy())
    for layer, block in enumerate(problem.model.components.blocks):
        at_all = bool((mask[graph.mlp_src(layer)].numpy() & read.all_positions).any())
        before = problem.logits(mask)
        hook = block.mlp.register_forward_hook(lambda module, args, out: spoil(out))
        same = torch.allclose(problem.logits(mask), before, atol=1e-12)
        hook.remove()
        assert at_all or same
        moved.add((at_all, same))
    assert moved <= {(True, False), (False, True), (True, True)}


def spoil(out: torch.Tensor) -> torch.Tensor:
    """The MLP's output, moved at every position but the last."""
    return torch.cat([out[:, :-1] + 1.0, out[:, -1:]], 1)
