"""Edges split by span: each reads its source at that span's tokens alone, in every engine."""

import pytest
import torch

from acdc.patching.ablations import ablate
from acdc.patching.activations import run
from acdc.patching.masked import MaskedForward, masked_logits
from acdc.patching.problem import Problem
from acdc.patching.weighted import weighted_logits
from tests.cases import covering
from tests.configs import ONE_EACH
from tests.oracle import naive_logits
from tests.patching.test_masked import random_mask
from tests.patching.test_weighted import loss_and_gradient
from tests.tiny import KeepDouble, kept_double, split_batch, tiny_batch, tiny_model


def random_split(problem: Problem, share: float, seed: int = 0) -> torch.Tensor:
    return random_mask(problem.model, share, seed, problem.graph)


def spread(problem: Problem, mask: torch.Tensor) -> torch.Tensor:
    """A mask of whole edges, each kept at all spans or none."""
    return (mask[..., None] & problem.graph.by_span(problem.graph.edges_mask)).flatten(1)


def test_who_attends_to_whom_is_read_off_the_prompts() -> None:
    batch = split_batch(lengths=(7, 7), n=2)
    ids = torch.tensor([[0, 0, 1, 1, 0, 2, 2], [0, 0, 0, 0, 1, 2, 2]])
    object.__setattr__(batch, "span_ids", ids)
    graph = Problem.make(tiny_model("gpt2"), batch).graph
    assert graph.sees == ((True, True, False), (True, True, False), (True, True, True))


@pytest.mark.parametrize(("family", "share"), covering(ONE_EACH, [0.15, 0.6]))
def test_masked_forward_equals_the_oracle(family: str, share: float) -> None:
    with kept_double(family):
        problem = Problem.make(tiny_model(family), split_batch())
        mask = random_split(problem, share)
        ours = MaskedForward(problem.model, problem.batch, problem.ablated, memory=1).logits(mask)
        naive = naive_logits(problem.model, problem.batch, problem.ablated.outputs, mask)
        torch.testing.assert_close(ours, naive, atol=1e-10, rtol=0)
        torch.testing.assert_close(problem.logits(problem.prune(mask)), naive, atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", ["zero", "mean-all", "resample"])
def test_ablated_outputs_of_any_kind(kind: str) -> None:
    with KeepDouble():
        problem = Problem.make(tiny_model("llama-gqa"), split_batch(lengths=(7, 7, 9, 9)), ablation=kind)
        mask = random_split(problem, 0.3)
        naive = naive_logits(problem.model, problem.batch, problem.ablated.outputs, mask)
        torch.testing.assert_close(problem.logits(mask), naive, atol=1e-10, rtol=0)
        torch.testing.assert_close(problem.logits(problem.prune(mask)), naive, atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", ONE_EACH)
def test_an_edge_kept_at_all_spans_is_the_whole_edge(family: str) -> None:
    model, batch = tiny_model(family), split_batch()
    with kept_double(family):
        problem = Problem.make(model, batch)
        mask = random_mask(model, 0.6)
        whole = masked_logits(model, tiny_batch(), problem.ablated.outputs, mask)
        torch.testing.assert_close(problem.logits(spread(problem, mask)), whole, atol=1e-10, rtol=0)
        full = problem.logits(problem.graph.edges_mask)
        torch.testing.assert_close(full, problem.clean.logits, atol=1e-10, rtol=0)
        corrupt = run(model, batch, batch.corrupt).logits
        torch.testing.assert_close(problem.logits(problem.graph.edges_mask & False), corrupt, atol=1e-10, rtol=0)


def test_groups_of_prompts_change_nothing() -> None:
    model, batch = tiny_model("gpt2"), split_batch()
    problem = Problem.make(model, batch)
    mask = random_split(problem, 0.4)
    for prompts in ([0, 2], [3, 1], [2]):
        part = batch.select(prompts)
        ablated = ablate("corrupt", model, part, run(model, part, part.clean).outputs)
        alone = masked_logits(model, part, ablated.outputs, mask)
        torch.testing.assert_close(alone, problem.logits(mask)[prompts], atol=1e-10, rtol=0)


@pytest.mark.parametrize(("family", "share"), covering(ONE_EACH, [0.3, 0.8]))
def test_weights_of_zero_and_one_are_a_mask(family: str, share: float) -> None:
    with kept_double(family):
        problem = Problem.make(tiny_model(family), split_batch())
        mask = random_split(problem, share)
        expected = problem.logits(mask)
        for weights in (mask.double(), mask.double().expand(problem.batch.n, -1, -1)):
            torch.testing.assert_close(weighted_logits(problem.masked, weights), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "neox-parallel", "gemma2", "olmo2", "gpt-oss"])
@pytest.mark.parametrize("memory", [None, 1])
def test_the_gradient_is_that_of_finite_differences(family: str, memory: int | None) -> None:
    step, accuracy = 1e-5, 1e-6
    with KeepDouble():
        problem = Problem.make(tiny_model(family), split_batch())
        generator = torch.Generator().manual_seed(0)
        weights, direction = torch.rand(2, *problem.graph.edges_mask.shape, generator=generator, dtype=torch.float64)
        _, gradient = loss_and_gradient(problem, weights, memory=memory)
        assert torch.equal(gradient * problem.graph.edges_mask, gradient)
        ahead, behind = (loss_and_gradient(problem, weights + sign * step * direction)[0] for sign in (1, -1))
        slope = float((ahead - behind) / (2 * step))
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=accuracy, abs=accuracy / 10)


def test_the_gradient_of_a_whole_edge_is_the_sum_over_spans() -> None:
    whole, split = (Problem.make(tiny_model("gpt2"), batch) for batch in (tiny_batch(), split_batch()))
    gradients = [loss_and_gradient(problem, problem.graph.edges_mask.double())[1] for problem in (whole, split)]
    torch.testing.assert_close(split.graph.by_span(gradients[1]).sum(-1), gradients[0], atol=1e-12, rtol=0)


def test_weights_of_each_prompt_are_its_own() -> None:
    problem = Problem.make(tiny_model("llama-gqa"), split_batch())
    weights = torch.stack([random_split(problem, 0.5, seed).double() for seed in range(problem.batch.n)])
    logits = weighted_logits(problem.masked, weights)
    for i, each in enumerate(weights):
        torch.testing.assert_close(logits[i], problem.logits(each.bool())[i], atol=1e-10, rtol=0)
    of_each = loss_and_gradient(problem, weights)[1]
    shared = loss_and_gradient(problem, weights[0])[1]
    same = loss_and_gradient(problem, weights[:1].expand(problem.batch.n, -1, -1))[1]
    torch.testing.assert_close(same.sum(0), shared, atol=1e-12, rtol=0)
    assert of_each.shape == weights.shape and bool((of_each != 0).any(-1).any(-1).all())
