"""First-order effects are the gradient of the metric in the edges' mask, whatever the memory."""

import functools

import pytest
import torch

from acdc.discovery.attribution.eap import at_clean
from acdc.errors import RunError
from acdc.patching.gradient.attribution import edge_effects, node_effects
from acdc.patching.problem import Problem
from tests.configs import ONE_EACH
from tests.soft import mask_gradient
from tests.tiny import tiny_batch, tiny_model

TINY_MEMORY = 1  # one prompt, one head and one source at a time


@functools.cache
def problem_of(family: str, metric: str = "logit_diff", ablation: str = "corrupt") -> Problem:
    batch = tiny_batch(lengths=(6, 6, 8, 8)) if ablation == "resample" else tiny_batch()
    return Problem.make(tiny_model(family), batch, metric=metric, ablation=ablation, seed=5)


def assert_is_mask_gradient(problem: Problem, **options: int) -> None:
    effects = edge_effects(problem, at_clean, **options).sum(0)
    edges, expected = problem.model.graph.edges_mask, mask_gradient(problem)
    assert bool(effects[~edges].isnan().all())
    # the RMSNorm of Hugging Face computes in float32, whatever the weights
    allowed = 1e-12 if problem.model.family.name in ("GPT-2", "GPT-NeoX") else 2e-6
    torch.testing.assert_close(effects[edges], expected[edges], atol=allowed, rtol=0)
    assert float(expected[edges].abs().max()) > 1e-2, "tests little"


@pytest.mark.parametrize("memory", [TINY_MEMORY, 2**28])
@pytest.mark.parametrize("family", ONE_EACH)
def test_every_family(family: str, memory: int) -> None:
    assert_is_mask_gradient(problem_of(family), memory=memory)


@pytest.mark.parametrize("metric", ["nll", "prob_diff"])
def test_every_metric(metric: str) -> None:
    assert_is_mask_gradient(problem_of("neox-serial", metric))


@pytest.mark.parametrize("ablation", ["zero", "mean-all", "mean-positional", "optimal", "noise", "resample"])
def test_every_ablation(ablation: str) -> None:
    assert_is_mask_gradient(problem_of("gpt2", ablation=ablation))
    assert_is_mask_gradient(problem_of("llama-gqa", ablation=ablation), memory=60_000)


def test_groups_of_prompts_add_up_to_the_whole_and_are_the_prompts_own() -> None:
    problem = problem_of("gpt2")
    groups, whole = (edge_effects(problem, at_clean, n_groups=n) for n in (4, 1))
    torch.testing.assert_close(groups.sum(0), whole[0], atol=1e-13, rtol=0, equal_nan=True)  # summed in other orders
    for i in range(4):
        alone = Problem.make(problem.model, problem.batch.select([i]), metric="logit_diff")
        expected = edge_effects(alone, at_clean)[0] / 4
        torch.testing.assert_close(groups[i], expected, atol=1e-13, rtol=0, equal_nan=True)


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama-mqa"])
@pytest.mark.parametrize("memory", [TINY_MEMORY, 2**28])
def test_a_node_s_effect_is_the_sum_of_its_edges(family: str, memory: int) -> None:
    problem = problem_of(family)
    edges, nodes = edge_effects(problem, at_clean)[0], node_effects(problem, at_clean, memory=memory)
    torch.testing.assert_close(nodes.mean(0), edges.nansum(1), atol=5e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_weights_give_nearly_the_same(dtype: torch.dtype) -> None:
    exact = edge_effects(problem_of("gpt2"), at_clean)[0]
    model = tiny_model("gpt2", dtype=dtype)
    found = edge_effects(Problem.make(model, tiny_batch(), metric="logit_diff"), at_clean)[0]
    allowed = float(exact.nan_to_num().abs().max()) * (1e-5 if dtype == torch.float32 else 0.1)
    torch.testing.assert_close(found, exact, atol=allowed, rtol=0, equal_nan=True)


def test_no_gradient_of_a_weight_is_made_and_nothing_is_changed() -> None:
    problem = Problem.make(tiny_model("llama-gqa"), tiny_batch(), metric="logit_diff")
    clean, ablated = problem.clean, problem.ablated.outputs
    tensors = [clean.final, *clean.resid_mid, *clean.outputs.z, *ablated.mlp, *problem.model.hf.parameters()]
    before = [tensor.clone() for tensor in tensors]
    edge_effects(problem, at_clean)
    assert all(torch.equal(old, new) for old, new in zip(before, tensors, strict=True))
    assert all(p.requires_grad and p.grad is None for p in problem.model.hf.parameters())


def test_progress_ends_at_the_last_part() -> None:
    told: list[tuple[int, int]] = []
    edge_effects(problem_of("gpt2"), at_clean, memory=1, n_groups=2, note=lambda *parts: told.append(parts))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("effects", [edge_effects, node_effects])
def test_runs_that_are_held_at_once_take_their_part_of_the_memory(effects) -> None:
    def n_parts(memory: int, runs: int) -> int:
        told: list[tuple[int, int]] = []
        effects(problem_of("gpt2"), at_clean, memory=memory, runs=runs, note=lambda *parts: told.append(parts))
        return told[-1][1]

    enough = next(2**k for k in range(16, 30) if n_parts(2**k, 1) == 1)
    assert n_parts(enough, 200) > 1


def test_memory_must_be_positive() -> None:
    with pytest.raises(RunError, match="memory must be a positive number"):
        edge_effects(problem_of("gpt2"), at_clean, memory=0)
