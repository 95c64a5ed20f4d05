"""Scores by gradients along paths: exact in a linear model, and equal to their definitions in others."""

import dataclasses
import functools
import math

import pytest
import torch

from acdc.discovery.attribution.eap import eap
from acdc.discovery.attribution.eap_ig_activations import eap_ig_activations
from acdc.discovery.attribution.eap_ig_inputs import eap_ig_inputs
from acdc.discovery.attribution.exact import exact
from acdc.patching.problem import Problem
from tests.discovery.attribution.problems import assert_same, problem_of
from tests.oracle import ablated_sources
from tests.soft import shift_gradient
from tests.tiny import tiny_batch, tiny_model

QUADRATURES = ("left", "right", "midpoint", "gauss-legendre")
LINEAR = {eap_ig_inputs: [{"deltas": "local"}, {"deltas": "endpoint"}], eap_ig_activations: [{}]}


@functools.cache
def linear_problem(ablation: str = "corrupt") -> Problem:
    """A model without norms and nonlinearities, whose heads all look at all earlier tokens alike."""
    model = tiny_model("gpt2")
    same = torch.nn.Identity()
    blocks = tuple(
        dataclasses.replace(
            block,
            attention=dataclasses.replace(
                block.attention, W_Q=block.attention.W_Q * 0, b_Q=torch.zeros_like(block.attention.b_Q)
            ),
            ln1=same,
            ln2=same,
            mlp=torch.nn.Linear(16, 16).double(),
        )
        for block in model.components.blocks
    )
    model.components = dataclasses.replace(model.components, blocks=blocks, ln_final=same)
    return Problem.make(model, tiny_batch(), metric="logit_diff", ablation=ablation)


def on_edges(problem: Problem, scores: torch.Tensor) -> torch.Tensor:
    return scores.masked_fill(~problem.model.graph.edges_mask, math.nan)


@pytest.mark.parametrize("quadrature", QUADRATURES)
@pytest.mark.parametrize("steps", [1, 3])
def test_in_a_linear_model_every_gradient_method_is_exact(quadrature: str, steps: int) -> None:
    problem = linear_problem()
    expected = exact(problem).scores
    assert float(expected.nan_to_num().abs().max()) > 0.01
    assert_same(eap(problem).scores, expected)
    for method, options in LINEAR.items():
        for option in options:
            found = method(problem, steps=steps, quadrature=quadrature, **option)
            assert_same(found.scores, expected)
            assert found.diagnostics["completeness_error"] < 1e-12


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_local_increments_are_exact_in_a_linear_model_though_ablated_outputs_are_no_run_s(ablation: str) -> None:
    problem = linear_problem(ablation)
    assert_same(eap_ig_inputs(problem, steps=3).scores, exact(problem).scores)


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel"])
def test_endpoint_differences_are_multiplied_with_gradients_at_inputs_between_the_two(family: str) -> None:
    problem = problem_of(family)
    clean, change = problem.clean.outputs.input, problem.ablated.outputs.input - problem.clean.outputs.input
    points = {"left": (1 / 3, 2 / 3, 1.0), "right": (0.0, 1 / 3, 2 / 3), "midpoint": (1 / 6, 3 / 6, 5 / 6)}
    for quadrature, shares in points.items():
        expected = sum(shift_gradient(problem, start=clean + a * change) for a in shares) / 3
        found = eap_ig_inputs(problem, deltas="endpoint", steps=3, quadrature=quadrature).scores
        assert_same(found, on_edges(problem, expected))


def test_one_step_from_the_clean_end_is_eap_and_from_the_ablated_end_is_eap_there() -> None:
    problem = problem_of()
    assert_same(eap_ig_inputs(problem, steps=1, quadrature="right").scores, eap(problem).scores)
    batch = problem.batch
    turned = Problem.make(
        problem.model, dataclasses.replace(batch, clean=batch.corrupt, corrupt=batch.clean), metric="logit_diff"
    )
    assert_same(eap_ig_inputs(problem, steps=1, quadrature="left").scores, -eap(turned).scores)


@pytest.mark.parametrize(
    ("method", "family"),
    [(eap_ig_inputs, "gpt2"), (eap_ig_inputs, "neox-parallel"), (eap_ig_activations, "neox-parallel")],
)
def test_the_completeness_error_falls_with_the_steps(method, family: str) -> None:
    problem = problem_of(family)
    few, more, many = (
        method(problem, steps=steps, quadrature="midpoint").diagnostics["completeness_error"] for steps in (2, 6, 18)
    )
    assert many < more / 4 < few, "midpoints converge at second order"


def components(problem: Problem) -> list[list[str]]:
    graph = problem.model.graph
    layers = range(graph.n_layers)
    named = [([f"a{layer}.h{h}" for h in range(graph.n_heads)], [f"m{layer}"]) for layer in layers]
    return [["input"], *(names for pair in named for names in pair)]


@pytest.mark.parametrize("paths", ["own", "all"])
@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama-gqa"])
def test_eap_ig_activations_sets_one_component_at_a_time(family: str, paths: str) -> None:
    problem, steps = problem_of(family), 2
    graph = problem.model.graph
    clean, ablated = (ablated_sources(problem.model, x) for x in (problem.clean.outputs, problem.ablated.outputs))
    own, everything = torch.zeros(2, graph.n_src, graph.n_dst, dtype=torch.float64)
    for names in components(problem):
        rows = [graph.src_index[name] for name in names]
        for a in (0.0, 0.5):
            set_to = {name: (clean[name] + a * (ablated[name] - clean[name])).detach() for name in names}
            gradient = shift_gradient(problem, start=set_to.get("input"), forced=set_to) / steps
            own[rows] += gradient[rows]
            everything += gradient / len(components(problem))
    found = eap_ig_activations(problem, steps=steps, quadrature="right", paths=paths).scores
    expected = own if paths == "own" else everything
    assert_same(found, on_edges(problem, expected), 1e-12 if family != "llama-gqa" else 2e-6)
