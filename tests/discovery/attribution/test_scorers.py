"""What the other scorers' numbers are, and what holds for every scorer, in float64 on tiny models."""

import dataclasses
from collections import deque

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.discovery import METHODS, SCORERS, attribution, get_scorer
from acdc.discovery.attribution.degree_matched import shuffled
from acdc.discovery.attribution.eap import eap
from acdc.discovery.attribution.eap_ig_inputs import eap_ig_inputs
from acdc.discovery.attribution.exact import exact
from acdc.discovery.attribution.ifr import ifr
from acdc.errors import ACDCError
from acdc.registry import declared
from acdc.runs.arguments import Arguments, resolve_arguments
from tests.discovery.attribution.problems import assert_same, problem_of
from tests.discovery.test_acdc import Memory
from tests.oracle import ablated_sources

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
