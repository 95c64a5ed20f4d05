"""Planted circuits: each planted edge matters, others hardly do, and ACDC finds the planted ones."""

import functools
import random

import pytest
import torch
from interchange import Run
from plans import PLANS, Draw

from acdc.circuits.circuit import Circuit
from acdc.discovery.acdc import acdc
from acdc.metrics import accuracy
from acdc.models import PatchableModel
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from acdc.zoo import zoo_path
from tests.tiny import tiny_batch, tiny_model


@functools.cache
def problem_of(task: str, seed: int = 0) -> Problem:
    model = PatchableModel.from_pretrained(PLANS[task].name)
    return Problem.make(model, PLANS[task].task().batch(model.tokenizer, 40, seed))


@pytest.mark.parametrize("task", PLANS)
def test_the_shipped_circuit_is_the_plan_and_the_folder_is_small(task: str) -> None:
    folder, plan = zoo_path(PLANS[task].name), PLANS[task]
    circuit = Circuit.load(folder / "circuit.json", graph=problem_of(task).model.graph)
    assert set(circuit.edges) == set(plan.edges)
    assert circuit.provenance["task"] == task
    assert circuit.provenance["method"] == "training"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2e6
    assert all(f"`{edge}`" in (folder / "README.md").read_text() for edge in plan.edges)


@pytest.mark.parametrize("task", PLANS)
def test_the_model_does_its_task(task: str) -> None:
    problem = problem_of(task)
    right = accuracy(problem.clean.logits, problem.batch.correct, problem.batch.wrong)
    assert right.float().mean() == 1


@pytest.mark.parametrize("task", PLANS)
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_edges_matter_and_others_hardly_do(task: str, seed: int) -> None:
    """Exact knock-outs of every edge alone, in the whole model."""
    problem, graph = problem_of(task, seed), problem_of(task).model.graph
    truth = graph.mask_of(PLANS[task].edges)
    edges = [tuple(edge) for edge in graph.edges_mask.nonzero().tolist()]
    state = CircuitState(problem)
    effects = (state.losses(edges) - state.loss).abs()
    planted = torch.tensor([bool(truth[edge]) for edge in edges])
    assert effects[planted].min() > 1
    assert effects[~planted].max() < 0.01
    assert problem.objective.loss(problem.logits(truth)).item() < 0.05, "the planted circuit alone does as the model"


@pytest.mark.parametrize("task", PLANS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_acdc_finds_the_planted_circuit(task: str, seed: int) -> None:
    found = acdc(problem_of(task, seed), tau=0.1, sweeps=0)
    assert set(problem_of(task).model.graph.edge_names(found.mask)) == set(PLANS[task].edges)


@pytest.mark.parametrize("task", PLANS)
def test_the_weights_are_trained_and_other_nodes_are_alive(task: str) -> None:
    """No node is silent: discovery has something to reject."""
    problem = problem_of(task)
    for layer, z in enumerate(problem.clean.outputs.z):
        written = torch.einsum("hbpe,hed->hbpd", z, problem.model.components.blocks[layer].attention.W_O)
        assert bool((written.flatten(1).norm(dim=1) > 1e-3).all())


@pytest.mark.parametrize("task", PLANS)
def test_the_algorithm_without_removals_answers_as_the_task(task: str) -> None:
    plan, tokenizer = PLANS[task], problem_of(task).model.tokenizer
    pairs = [p for p in plan.task().pairs(tokenizer, 30, random.Random(0))]
    for pair in pairs:
        ids = [torch.tensor([tokenizer.encode(side)]) for side in (pair.clean, pair.corrupt)]
        nothing, everything = (torch.full((1, len(plan.edges)), gone) for gone in (False, True))
        draw = Draw(*ids)
        assert plan.answer(draw, nothing).item() == tokenizer.convert_tokens_to_ids(pair.correct[0])
        assert plan.answer(draw, everything).item() == tokenizer.convert_tokens_to_ids(pair.wrong[0])


def test_the_training_pass_is_the_engines_masked_pass() -> None:
    """`interchange.Run` gives the logits of `Problem.logits` for a mask, prompt by prompt."""
    model = tiny_model("gpt2")
    batch = tiny_batch(lengths=(7, 7, 7, 7))
    problem = Problem.make(model, batch)
    keep = torch.rand(batch.n, *model.graph.edges_mask.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    with torch.no_grad():
        found = Run(model.hf, batch.clean, keep, Run(model.hf, batch.corrupt)).logits
    for i in range(batch.n):
        expected = problem.logits(keep[i] & model.graph.edges_mask)[i]
        torch.testing.assert_close(found[i], expected, atol=1e-10, rtol=0)
