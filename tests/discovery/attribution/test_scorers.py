"""What each scorer's numbers are, in float64 on tiny models."""

import dataclasses
import functools
import math
from collections import deque

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.discovery import METHODS, SCORERS, attribution, get_scorer
from acdc.discovery.attribution.degree_matched import shuffled
from acdc.discovery.attribution.eap import eap
from acdc.discovery.attribution.eap_ig_activations import eap_ig_activations
from acdc.discovery.attribution.eap_ig_inputs import eap_ig_inputs
from acdc.discovery.attribution.exact import exact
from acdc.discovery.attribution.hisp import hisp
from acdc.discovery.attribution.ifr import ifr
from acdc.discovery.attribution.nap import nap
from acdc.discovery.attribution.nap_ig import nap_ig
from acdc.discovery.attribution.nodes import lift
from acdc.errors import ACDCError
from acdc.patching.problem import Problem
from acdc.registry import declared
from acdc.runs.arguments import Arguments, resolve_arguments
from tests.discovery.test_acdc import Memory
from tests.oracle import ablated_sources
from tests.soft import shift_gradient
from tests.tiny import tiny_batch, tiny_model

QUADRATURES = ("left", "right", "midpoint", "gauss-legendre")


@functools.cache
def problem_of(family: str = "gpt2", metric: str = "logit_diff", ablation: str = "corrupt") -> Problem:
    return Problem.make(tiny_model(family), tiny_batch(), metric=metric, ablation=ablation, seed=5)


@functools.cache
def linear_problem() -> Problem:
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
    return Problem.make(model, tiny_batch(), metric="logit_diff")


def assert_same(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0, equal_nan=True)


def on_edges(problem: Problem, scores: torch.Tensor) -> torch.Tensor:
    return scores.masked_fill(~problem.model.graph.edges_mask, math.nan)


# -- exact


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama-gqa"])
@pytest.mark.parametrize("metric", ["kl", "logit_diff"])
def test_exact_is_one_masked_forward_per_edge(family: str, metric: str) -> None:
    problem = problem_of(family, metric)
    scores, whole = exact(problem).scores, problem.model.graph.edges_mask
    loss = problem.loss(problem.logits(whole))
    for edge in whole.nonzero()[::17].tolist():
        mask = whole.clone()
        mask[tuple(edge)] = False
        assert scores[tuple(edge)].item() == pytest.approx(problem.loss(problem.logits(mask)) - loss, abs=1e-9)
    assert bool(scores[whole].isfinite().all())


def test_exact_goes_on_from_its_checkpoint() -> None:
    problem, whole, stopped = problem_of(), Memory(), Memory(room=3)
    expected = exact(problem, checkpoint=whole).scores
    with pytest.raises(KeyboardInterrupt):
        exact(problem, checkpoint=stopped)
    resumed = Memory(recorded=deque(stopped.written))
    assert_same(exact(problem, checkpoint=resumed).scores, expected, 0)
    assert stopped.written + resumed.written == whole.written, "nothing is measured twice"


# -- gradients along paths


@pytest.mark.parametrize("quadrature", QUADRATURES)
@pytest.mark.parametrize("steps", [1, 3])
def test_in_a_linear_model_every_gradient_method_is_exact(quadrature: str, steps: int) -> None:
    problem = linear_problem()
    expected = exact(problem).scores
    assert float(expected.nan_to_num().abs().max()) > 0.01
    assert_same(eap(problem).scores, expected)
    for method in (eap_ig_inputs, eap_ig_activations):
        found = method(problem, steps=steps, quadrature=quadrature)
        assert_same(found.scores, expected)
        assert found.diagnostics["completeness_error"] < 1e-12


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel"])
def test_eap_ig_inputs_takes_gradients_at_inputs_between_the_two(family: str) -> None:
    problem = problem_of(family)
    clean, change = problem.clean.outputs.input, problem.ablated.outputs.input - problem.clean.outputs.input
    points = {"left": (1 / 3, 2 / 3, 1.0), "right": (0.0, 1 / 3, 2 / 3), "midpoint": (1 / 6, 3 / 6, 5 / 6)}
    for quadrature, shares in points.items():
        expected = sum(shift_gradient(problem, start=clean + a * change) for a in shares) / 3
        found = eap_ig_inputs(problem, steps=3, quadrature=quadrature).scores
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


# -- nodes


def test_lifted_scores_keep_the_edges_between_kept_nodes() -> None:
    graph = Graph(2, 2, 4)
    nodes = torch.randn(graph.n_src, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = lift(graph, nodes)
    for threshold in nodes.abs().tolist():
        kept = nodes.abs() >= threshold
        kept[0] = True
        ends = torch.tensor([src is None or bool(kept[src]) for src in graph.src_of_dst])
        expected = graph.edges_mask & kept[:, None] & ends[None, :]
        found = scores.abs() >= threshold
        if threshold <= float(nodes[1:].abs().max()):
            assert torch.equal(found, expected)


def test_nap_and_nap_ig_are_sums_over_a_node_s_edges() -> None:
    problem = problem_of("neox-parallel")
    graph = problem.model.graph
    assert_same(nap(problem).scores, lift(graph, eap(problem).scores.nansum(1)))
    edges = eap_ig_inputs(problem, steps=3, quadrature="gauss-legendre").scores
    assert_same(nap_ig(problem, steps=3, quadrature="gauss-legendre").scores, lift(graph, edges.nansum(1)))


@pytest.mark.parametrize("times", ["change", "activation"])
def test_hisp_is_the_mean_size_of_the_prompts_effects(times: str) -> None:
    problem = problem_of("neox-serial")
    ablation = "corrupt" if times == "change" else "zero"  # ablated - clean is then minus the activation
    alone = [
        Problem.make(problem.model, problem.batch.select([i]), metric="logit_diff", ablation=ablation)
        for i in range(problem.batch.n)
    ]
    expected = torch.stack([eap(one).scores.nansum(1).abs() for one in alone]).mean(0)
    assert_same(hisp(problem, times=times).scores, lift(problem.model.graph, expected))
    layers = expected[1:].view(problem.model.graph.n_layers, -1)
    by_layer = torch.cat([expected[:1], (layers / layers.norm(dim=1, keepdim=True)).flatten()])
    assert_same(hisp(problem, times=times, normalise=True).scores, lift(problem.model.graph, by_layer))


# -- the others


def test_information_flow_sums_to_one_and_is_the_formula() -> None:
    problem = problem_of("llama-gqa")
    graph = problem.model.graph
    scores = ifr(problem).scores
    torch.testing.assert_close(scores.nansum(0), torch.ones(graph.n_dst, dtype=torch.float64))
    assert_same(ifr(problem, memory=1).scores, scores)
    written = torch.stack(list(ablated_sources(problem.model, problem.clean.outputs).values()))
    for name, stream, n, rows in (
        ("logits", problem.clean.final, graph.n_src, torch.zeros_like(problem.batch.attention)),
        ("a1.h2<k>", problem.clean.resid_pre[1], graph.head_src(1), problem.batch.attention.clone()),
    ):
        rows[:, -1] = True
        x, sources = stream[rows], written[:n, rows]
        near = (x.abs().sum(-1) - (x - sources).abs().sum(-1)).clamp_min(0)
        near = near[:, near.sum(0) > 0]
        assert_same(scores[:n, graph.dst_index[name]], (near / near.sum(0)).mean(1))


def test_an_ensemble_is_the_mean_of_its_members_in_units_of_their_spread() -> None:
    problem = problem_of()
    edges = problem.model.graph.edges_mask
    members = [SCORERS[name](problem).scores for name in ("eap", "ifr")]
    expected = sum(scores / scores[edges].std() for scores in members) / 2
    assert_same(SCORERS["ensemble"](problem, members="eap, ifr").scores, expected)


def test_shuffling_keeps_the_number_of_edges_between_layers_and_kinds() -> None:
    problem = problem_of()
    graph = problem.model.graph
    mask = graph.edges_mask & (eap(problem).scores.abs() > 0.005)
    other = shuffled(graph, mask, seed=1)
    assert not torch.equal(mask, other)
    assert torch.equal(other, shuffled(graph, mask, seed=1))
    assert not bool((other & ~graph.edges_mask).any())

    def counts(mask: torch.Tensor) -> dict:
        frame = Circuit(graph, mask).to_frame()
        frame["src_kind"], frame["dst_kind"] = frame["src"].str[0], frame["dst"].str[0] + frame["input"]
        return frame.groupby(["src_kind", "src_layer", "dst_kind", "dst_layer"])["kept"].sum().to_dict()

    assert counts(mask) == counts(other)


def test_random_scores_are_the_seed_s() -> None:
    one, other = problem_of(), dataclasses.replace(problem_of(), seed=6)
    assert_same(SCORERS["random"](one).scores, SCORERS["random"](one).scores, 0)
    assert not torch.equal(SCORERS["random"](one).scores.nan_to_num(), SCORERS["random"](other).scores.nan_to_num())


@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_scores_every_edge_and_only_edges(name: str) -> None:
    found = SCORERS[name](problem_of("gpt2-untied"))
    assert torch.equal(found.scores.isfinite(), problem_of("gpt2-untied").model.graph.edges_mask)
    assert set(found.cost) >= {"forward_passes", "backward_passes"}


@pytest.mark.parametrize("name", ["eap", "nap", "hisp"])
def test_a_metric_that_is_flat_at_the_clean_run_is_refused(name: str) -> None:
    with pytest.raises(ACDCError, match="every score would be 0"):
        SCORERS[name](problem_of(metric="kl"))
    with pytest.raises(ACDCError, match="every score would be 0"):
        arguments_of(name, metric="kl")


def arguments_of(method: str, task: str = "ioi", metric: str | None = None) -> Arguments:
    return resolve_arguments(None, task, method=method, metric=metric, n=4)


def test_the_default_metric_has_a_gradient_where_one_is_needed() -> None:
    assert arguments_of("eap").metric.name == "logit_diff"
    assert arguments_of("eap", task="induction").metric.name == "nll"
    assert arguments_of("eap-ig-inputs").metric.name == "kl"
    assert arguments_of("acdc").metric.name == "kl"


@pytest.mark.parametrize("name", METHODS)
def test_every_option_of_a_method_is_documented(name: str) -> None:
    options = METHODS[name].options
    assert options and all(option.summary for option in options.values())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: eap_ig_inputs(p, steps=0), "steps must be a positive number"),
        (lambda p: SCORERS["ensemble"](p, members="eap,epa"), "did you mean 'eap'"),
        (lambda p: SCORERS["ensemble"](p, members="eap"), "at least two scorers"),
        (lambda p: SCORERS["degree-matched"](p, of="nope"), "unknown scorer"),
        (lambda p: get_scorer("epa"), "did you mean 'eap'"),
        (lambda p: exact(p, memory=0), "memory must be a positive"),
    ],
)
def test_options_out_of_range_are_refused(call, message: str) -> None:
    with pytest.raises(ACDCError, match=message):
        call(problem_of())


SCORER = """
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored


def sizes(problem, *, power: float = 2.0, progress=None) -> EdgeScores:
    \"\"\"Score by size.

    Args:
        power: Which power of it.
    \"\"\"
    raise NotImplementedError


METHOD = Method("sizes", "by size", "nobody", Scored(sizes))
"""


def test_a_scorer_is_one_new_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by being there, and has the options of the selection beside its own."""
    (tmp_path / "sizes.py").write_text(SCORER)
    monkeypatch.setattr(attribution, "__path__", [*attribution.__path__, str(tmp_path)])
    (method,) = [one for one in declared("acdc.discovery.attribution", "METHOD") if one.name == "sizes"]
    assert method.options["power"].summary == "Which power of it." and method.options["power"].default == 2.0
    assert {"select", "n_edges", "faithfulness"} <= method.options.keys()
    assert "resamples" not in method.options, "it can't part its scores by prompts"
