"""Denoising is noising with the two sides' roles swapped and the loss turned round."""

import random

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.discovery.acdc import acdc
from acdc.discovery.attribution.eap import eap
from acdc.discovery.attribution.eap_ig_inputs import eap_ig_inputs
from acdc.discovery.attribution.exact import exact
from acdc.errors import RunError, UnknownNameError
from acdc.evaluation.specification import denoised_logits
from acdc.models import PatchableModel
from acdc.patching.activations import run
from acdc.patching.direction import denoising, directed
from acdc.patching.problem import Problem
from acdc.task import load_task
from acdc.zoo import zoo_path


def problem_of(name: str = "either", metric: str = "kl", n: int = 6) -> Problem:
    model = PatchableModel.from_pretrained(f"{name}-compiled", dtype="float64")
    return Problem.make(model, load_task(name).batch(model.tokenizer, n), metric=metric)


@pytest.mark.parametrize("metric", ["kl", "logit_diff", "nll"])
def test_all_edges_kept_is_the_corrupted_run_and_none_the_clean_one(metric: str) -> None:
    problem = problem_of(metric=metric)
    turned, all_edges = denoising(problem), problem.model.graph.edges_mask
    corrupted = run(problem.model, problem.batch, problem.batch.corrupt).logits
    torch.testing.assert_close(turned.logits(all_edges), corrupted)
    torch.testing.assert_close(turned.logits(all_edges & False), problem.clean.logits)
    assert turned.model_loss == pytest.approx(-problem.empty_loss)
    assert turned.empty_loss == pytest.approx(-problem.model_loss)


def test_turned_twice_it_is_the_same() -> None:
    problem = problem_of(metric="logit_diff")
    again = denoising(denoising(problem))
    mask = problem.model.graph.edges_mask & (torch.rand(problem.model.graph.edges_mask.shape) < 0.7)
    torch.testing.assert_close(again.logits(mask), problem.logits(mask))
    assert again.loss(again.logits(mask)) == pytest.approx(problem.loss(problem.logits(mask)))


@pytest.mark.parametrize("metric", ["kl", "logit_diff"])
def test_an_edge_s_effect_is_what_its_restoration_alone_gains(metric: str) -> None:
    """The oracle is a masked forward of the corrupted prompts with just this edge carrying the clean activation."""
    problem = problem_of(metric=metric)
    graph, scores = problem.model.graph, exact(denoising(problem)).scores
    for i, j in random.Random(0).sample(graph.edges_mask.nonzero().tolist(), 20):
        alone = torch.zeros_like(graph.edges_mask)
        alone[i, j] = True
        gain = problem.empty_loss - problem.loss(denoised_logits(problem, alone))
        assert float(scores[i, j]) == pytest.approx(gain, abs=1e-9)


def test_kl_has_a_gradient_at_the_corrupted_run() -> None:
    """Where it has none at the clean one, so EAP takes it in denoising."""
    problem = problem_of()
    with pytest.raises(RunError, match="flat"):
        eap(problem)
    assert eap(denoising(problem)).scores[problem.model.graph.parse_edge("m1->logits")] > 1


def test_integrated_gradients_see_the_same_line_from_either_end() -> None:
    problem = problem_of("chain", "logit_diff")
    edges = problem.model.graph.edges_mask
    one, other = (eap_ig_inputs(each, steps=5).scores[edges] for each in (problem, denoising(problem)))
    torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-6)


def test_denoising_finds_both_paths_of_an_or_and_noising_one() -> None:
    problem = problem_of()
    graph, truth = problem.model.graph, Circuit.load(zoo_path("either-compiled") / "circuit.json").edges
    found = {
        direction: set(graph.edge_names(acdc(directed(problem, direction), tau=0.5, sweeps=0).mask))
        for direction in ("noising", "denoising")
    }
    ends = {"a1.h0->m1", "a1.h2->m1"}
    assert len(found["noising"] & ends) == 1
    assert found["denoising"] >= ends
    assert found["noising"] | found["denoising"] <= set(truth)
    assert len(found["noising"] | found["denoising"]) == 7, "of 8: k and v of the second path are an AND within the OR"


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'denoising'"):
        directed(problem_of(n=2), "denoise")
