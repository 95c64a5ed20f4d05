"""Gradients between two inputs: local increments add up across any cut, endpoint differences don't."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.discovery.attribution.eap_ig_inputs import cuts, eap_ig_inputs
from acdc.discovery.attribution.nap_ig import nap_ig
from acdc.discovery.attribution.quadrature import random_points
from acdc.patching.activations import run
from acdc.patching.footprint import gradient_bytes
from acdc.patching.problem import Problem
from acdc.progress import Progress
from tests.discovery.attribution.problems import assert_same, problem_of
from tests.oracle import ablated_sources
from tests.soft import shift_gradient, whole_change
from tests.tiny import tiny_batch, tiny_model

SHAPES = (("gpt2", "logit_diff"), ("neox-parallel", "kl"), ("llama-gqa", "logit_diff"), ("gemma2", "nll"))
Sources = dict[str, torch.Tensor]


def worst_cut(problem: Problem, **options: object) -> float:
    """How far the scores across a cut are at worst from the effect of the ablated input."""
    scores = eap_ig_inputs(problem, **options).scores
    effect = problem.loss(run(problem.model, problem.batch, problem.batch.corrupt).logits) - problem.model_loss
    return max(abs(float(scores[edges].nansum()) - effect) for _, edges in cuts(problem.model.graph))


@pytest.mark.parametrize("parallel", [False, True])
def test_a_cut_is_crossed_once_by_every_path(parallel: bool) -> None:
    graph = Graph(2, 2, 4, parallel=parallel)
    found = dict(cuts(graph))
    assert len(found) == 3
    assert found["input"].nonzero()[:, 0].unique().tolist() == [0] and int(found["input"].sum()) == graph.n_dst
    assert found["layer 1"].nonzero()[:, 1].unique().tolist() == [graph.n_dst - 1]
    assert int(found["layer 1"].sum()) == graph.n_src
    for crossed in found.values():
        assert not bool(graph.prune(graph.edges_mask & ~crossed).any()), "without it nothing joins input and logits"


@pytest.mark.parametrize(("family", "metric"), SHAPES)
def test_scores_across_any_cut_converge_to_the_effect_and_the_published_rule_s_don_t(family: str, metric: str) -> None:
    problem = problem_of(family, metric)
    coarse, fine = (worst_cut(problem, steps=steps) for steps in (20, 60))
    assert fine < coarse / 4, "of second order"
    assert worst_cut(problem, steps=20, deltas="endpoint") > max(10 * fine, 0.03)


@pytest.mark.parametrize("scorer", [eap_ig_inputs, nap_ig])
def test_prompts_are_taken_in_smaller_parts_for_the_runs_that_increments_hold(scorer) -> None:
    problem = problem_of()
    memory = problem.batch.n * gradient_bytes(problem.model.graph, problem.batch.n_pos, 8)[0]

    def parts(deltas: str) -> int | None:
        told = list[Progress]()
        scorer(problem, steps=1, deltas=deltas, memory=memory, progress=told.append)
        return told[-1].total

    assert parts("endpoint") == 1
    assert parts("local") == 2


def test_the_worst_cut_is_told() -> None:
    problem = problem_of()
    told = eap_ig_inputs(problem, steps=4).diagnostics
    assert told["completeness_error"] == pytest.approx(worst_cut(problem, steps=4), abs=1e-12)
    assert told["worst_cut"] in dict(cuts(problem.model.graph))
    assert "worst_cut" not in eap_ig_inputs(problem, steps=4, deltas="endpoint").diagnostics
    assert "worst_cut" not in eap_ig_inputs(problem_of(ablation="zero"), steps=4).diagnostics


def naive_increments(problem: Problem, places: list[float], bounds: list[float]) -> list[Sources]:
    """What sources change between bounds, from straight lines between the runs at the places and at both ends."""
    at = [0.0, *places, 1.0]
    runs = [naive_run(problem, place) for place in at]

    def on_the_line(place: float) -> Sources:
        i = max(j for j in range(len(at) - 1) if at[j] <= place)
        share = (place - at[i]) / (at[i + 1] - at[i])
        return {name: out + share * (runs[i + 1][name] - out) for name, out in runs[i].items()}

    whole = whole_change(problem)
    rest = {name: whole[name] - (runs[-1][name] - runs[0][name]) for name in whole}
    points = [on_the_line(b) for b in bounds[:-1]] + [runs[-1]]
    return [
        {name: high[name] - low[name] + (stop - start) * rest[name] for name in high}
        for (low, high), (start, stop) in zip(pairwise(points), pairwise(bounds), strict=True)
    ]


def naive_input(problem: Problem, place: float) -> torch.Tensor:
    clean, ablated = problem.clean.outputs.input, problem.ablated.outputs.input
    return clean + place * (ablated - clean)


def naive_run(problem: Problem, place: float) -> Sources:
    found = run(problem.model, problem.batch, problem.batch.clean, embeddings=naive_input(problem, place))
    return ablated_sources(problem.model, found.outputs)


@pytest.mark.parametrize("memory", [1, 2**28])
@pytest.mark.parametrize(
    ("family", "ablation"), [("gpt2", "corrupt"), ("gpt2", "zero"), ("neox-parallel", "mean"), ("llama-gqa", "corrupt")]
)
def test_local_increments_are_the_formula(family: str, ablation: str, memory: int) -> None:
    problem = problem_of(family, ablation=ablation)
    places, bounds = [1 / 6, 1 / 2, 5 / 6], [0.0, 1 / 3, 2 / 3, 1.0]
    expected = sum(
        shift_gradient(problem, start=naive_input(problem, place), change=change)
        for place, change in zip(places, naive_increments(problem, places, bounds), strict=True)
    )
    found = eap_ig_inputs(problem, steps=3, memory=memory).scores
    expected = expected.masked_fill(~problem.model.graph.edges_mask, math.nan)
    assert_same(found, expected, 1e-12 if family != "llama-gqa" else 5e-6)


@pytest.mark.parametrize("quadrature", ["left", "right"])
def test_gradients_at_an_end_of_each_increment_need_no_straight_line(quadrature: str) -> None:
    problem, bounds = problem_of(), [0.0, 0.5, 1.0]
    places = bounds[1:] if quadrature == "left" else bounds[:-1]
    outputs = [naive_run(problem, place) for place in bounds]
    changes = [{name: high[name] - low[name] for name in low} for low, high in pairwise(outputs)]
    expected = sum(
        shift_gradient(problem, start=naive_input(problem, place), change=change)
        for place, change in zip(places, changes, strict=True)
    )
    found = eap_ig_inputs(problem, steps=2, quadrature=quadrature).scores
    assert_same(found, expected.masked_fill(~problem.model.graph.edges_mask, math.nan))


# -- drawn points


def test_expected_gradients_are_each_prompt_s_gradients_at_its_own_input() -> None:
    problem = problem_of("neox-serial")
    drawn = random_points(problem.batch, 1, problem.seed)[0]
    gradients = []
    for i, place in enumerate(drawn.tolist()):
        alone = Problem.make(problem.model, problem.batch.select([i]), metric="logit_diff")
        gradients.append(shift_gradient(alone, start=naive_input(alone, place)))
    expected = torch.stack(gradients).mean(0).masked_fill(~problem.model.graph.edges_mask, math.nan)
    for deltas in ("local", "endpoint"):  # one increment is the whole change
        found = eap_ig_inputs(problem, quadrature="random", deltas=deltas)
        assert_same(found.scores, expected)
        assert found.cost == {"forward_passes": 4, "backward_passes": 1}
        assert found.diagnostics["drawn_points"] == [[place] for place in drawn.tolist()]
        assert found.diagnostics["steps_taken"] == 1


@pytest.mark.parametrize("deltas", ["local", "endpoint"])
def test_drawn_points_are_the_seed_s_and_the_prompt_s_however_prompts_are_split(deltas: str) -> None:
    problem = problem_of()
    options = {"quadrature": "random", "steps": 3, "deltas": deltas}
    found = eap_ig_inputs(problem, **options)
    assert_same(eap_ig_inputs(problem, memory=1, **options).scores, found.scores)
    assert_same(eap_ig_inputs(problem, n_groups=3, **options).scores, found.scores)
    other = eap_ig_inputs(dataclasses.replace(problem, seed=6), **options)
    assert other.diagnostics["drawn_points"] != found.diagnostics["drawn_points"]
    drawn = torch.tensor(found.diagnostics["drawn_points"])
    assert bool((drawn.mul(3).floor() == torch.arange(3)).all()), "one in each third of the way"


def test_many_drawn_points_give_what_midpoints_give() -> None:
    problem = problem_of()
    few, many = (eap_ig_inputs(problem, quadrature="random", steps=steps).scores for steps in (3, 30))
    expected = eap_ig_inputs(problem, steps=50).scores
    far, near = ((scores - expected).nan_to_num().norm() for scores in (few, many))
    assert float(near) < float(far) / 5


def test_nodes_take_the_same_paths() -> None:
    problem = problem_of("llama-gqa", "kl")
    found = nap_ig(problem, quadrature="random")
    assert found.cost == {"forward_passes": 4, "backward_passes": 1}
    assert len(found.diagnostics["drawn_points"]) == problem.batch.n
    assert nap_ig(problem).cost == {"forward_passes": 13, "backward_passes": 10}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_weights_give_nearly_the_same(dtype: torch.dtype) -> None:
    expected = eap_ig_inputs(problem_of()).scores
    problem = Problem.make(tiny_model("gpt2", dtype=dtype), tiny_batch(), metric="logit_diff")
    found = eap_ig_inputs(problem).scores
    allowed = float(expected.nan_to_num().abs().max()) * (1e-4 if dtype == torch.float32 else 0.2)
    torch.testing.assert_close(found, expected, atol=allowed, rtol=0, equal_nan=True)
