"""The weighted forward pass is the masked one made smooth, and its gradient is the right one."""

import pytest
import torch
from torch import Tensor

from acdc.errors import CircuitError
from acdc.patching.masked import masked_logits
from acdc.patching.problem import Problem
from acdc.patching.weighted import prompts_that_fit, weighted_logits
from tests.configs import ONE_EACH
from tests.oracle import ablated_sources, naive_head
from tests.patching.test_masked import random_mask
from tests.tiny import KeepDouble, tiny_batch, tiny_model


def random_weights(model, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(model.graph.n_src, model.graph.n_dst, generator=generator, dtype=torch.float64)


def loss_and_gradient(problem: Problem, weights: Tensor, **options) -> tuple[Tensor, Tensor]:
    weights = weights.clone().requires_grad_()
    logits = weighted_logits(problem.masked, weights, **options)
    loss = problem.objective.loss(logits)
    return loss.detach(), torch.autograd.grad(loss, weights)[0]


@pytest.mark.parametrize("family", ONE_EACH)
def test_weights_of_zero_and_one_are_a_mask(family: str) -> None:
    problem = Problem.make(tiny_model(family), tiny_batch())
    model, batch, ablated = problem.model, problem.batch, problem.ablated.outputs
    for share in (0.3, 0.8):
        mask = random_mask(model, share)
        torch.testing.assert_close(
            weighted_logits(problem.masked, mask.double()),
            masked_logits(model, batch, ablated, mask),
            atol=1e-10,
            rtol=0,
        )


@pytest.mark.parametrize("family", ONE_EACH)
def test_the_gradient_is_that_of_finite_differences(family: str) -> None:
    """Along random directions, in the middle of the cube."""
    step, accuracy = 1e-5, 1e-6
    with KeepDouble():
        problem = Problem.make(tiny_model(family), tiny_batch())
        weights = random_weights(problem.model)
        _, gradient = loss_and_gradient(problem, weights)
        assert torch.equal(gradient * problem.model.graph.edges_mask, gradient)
        for seed in (1, 2):
            direction = random_weights(problem.model, seed) - 0.5
            ahead, behind = (loss_and_gradient(problem, weights + sign * step * direction)[0] for sign in (1, -1))
            slope = float((ahead - behind) / (2 * step))
            assert float((gradient * direction).sum()) == pytest.approx(slope, rel=accuracy, abs=accuracy / 10)


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama-gqa", "mistral-window"])
def test_at_the_whole_model_the_gradient_is_minus_edge_attribution(family: str) -> None:
    """`-(ablated_s - clean_s) · ∂loss/∂x_d`, the derivative taken in a plain forward pass written out anew."""
    problem = Problem.make(tiny_model(family), tiny_batch(), metric="nll")
    graph = problem.model.graph
    _, gradient = loss_and_gradient(problem, graph.edges_mask.double())
    nudges = {
        dst: torch.zeros(*problem.batch.clean.shape, graph.d_model, dtype=torch.float64, requires_grad=True)
        for dst in graph.destinations
    }
    logits = nudged_logits(problem, nudges)
    torch.testing.assert_close(logits, problem.clean.logits, atol=1e-10, rtol=0)
    slopes = dict(zip(nudges, torch.autograd.grad(problem.objective.loss(logits), list(nudges.values())), strict=True))
    clean, ablated = (
        ablated_sources(problem.model, outputs) for outputs in (problem.clean.outputs, problem.ablated.outputs)
    )
    for i, j in graph.edges_mask.nonzero().tolist():
        src, dst = graph.sources[i], graph.destinations[j]
        estimate = ((ablated[src] - clean[src]) * slopes[dst]).sum().item()
        assert float(gradient[i, j]) == pytest.approx(-estimate, abs=1e-10)


def nudged_logits(problem: Problem, nudges: dict[str, Tensor]) -> Tensor:
    """The clean run, where each destination reads its input plus its nudge."""
    model, batch, components = problem.model, problem.batch, problem.model.components
    x = problem.clean.outputs.input
    for layer, block in enumerate(components.blocks):
        before = x
        for h in range(model.graph.n_heads):
            q, k, v = (block.ln1(before + nudges[f"a{layer}.h{h}<{kind}>"]) for kind in "qkv")
            x = x + naive_head(model, batch, layer, h, q, k, v)
        x = x if block.attention.b_O is None else x + block.attention.b_O
        read = before if model.graph.parallel else x
        x = x + block.mlp(block.ln2(read + nudges[f"m{layer}"]))
    return model.unembed((x + nudges["logits"])[:, -1])


@pytest.mark.parametrize("family", ["gpt2", "qwen2-window"])
def test_no_memory_and_no_choice_of_rows_changes_anything(family: str) -> None:
    problem = Problem.make(tiny_model(family), tiny_batch())
    weights = random_weights(problem.model)
    assert prompts_that_fit(problem.masked, 1) == 1
    loss, gradient = loss_and_gradient(problem, weights)
    small_loss, small_gradient = loss_and_gradient(problem, weights, memory=1)
    torch.testing.assert_close(small_loss, loss, atol=1e-12, rtol=0)
    torch.testing.assert_close(small_gradient, gradient, atol=1e-12, rtol=0)
    rows = torch.tensor([2, 0])
    everything, some = (weighted_logits(problem.masked, weights, rows=chosen) for chosen in (None, rows))
    torch.testing.assert_close(some, everything[rows], atol=1e-12, rtol=0)


def kept_bytes(problem: Problem, memory: int) -> int:
    """Bytes that a forward pass keeps and its backward pass adds: graphs, changes, their gradients; not the model's."""
    storages, own = dict[int, int](), {p.untyped_storage().data_ptr() for p in problem.model.hf.parameters()}
    keep = [weights := random_weights(problem.model).requires_grad_()]

    def pack(x: Tensor) -> Tensor:
        keep.append(x)
        if x.untyped_storage().data_ptr() not in own:
            storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        logits = weighted_logits(problem.masked, weights, memory=memory)
    passes = logits.grad_fn.passes.held.values()
    buffers = [changes.buffer.untyped_storage().nbytes() for made in passes for changes in made.changes]
    return sum(storages.values()) + 2 * sum(buffers)


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama-gqa"])
def test_the_estimate_of_what_a_prompt_keeps_is_near_and_not_too_low(family: str) -> None:
    problem = Problem.make(tiny_model(family), tiny_batch(n=8))
    real = kept_bytes(problem, 2**40)
    estimate = 10**9 / prompts_that_fit(problem.masked, 10**9) * problem.batch.n
    assert 0.8 * real < estimate < 2.5 * real
    assert kept_bytes(problem, 1) < 0.2 * real, "groups keep nothing until the backward pass"


def test_the_model_s_own_weights_get_no_gradient_and_stay_as_they_were() -> None:
    problem = Problem.make(tiny_model("llama-gqa"), tiny_batch())
    weights = random_weights(problem.model).requires_grad_()
    for memory in (1, 2**30):
        loss = problem.objective.loss(weighted_logits(problem.masked, weights, memory=memory))
        loss.sum().backward()
    assert all(p.grad is None and p.requires_grad for p in problem.model.hf.parameters())
    assert weights.grad is not None and bool(weights.grad.any())


def test_weights_of_another_shape_are_refused() -> None:
    problem = Problem.make(tiny_model("gpt2"), tiny_batch())
    with pytest.raises(
        CircuitError, match=r"weights of 4 prompts for 3 layers x 2 heads must be \[10, 22\], .*, not \[2, 3\]"
    ):
        weighted_logits(problem.masked, torch.ones(2, 3))
