"""The specification curve, and stability over repeated discoveries."""

from dataclasses import replace

import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.circuits.overlap import jaccard
from acdc.discovery import DiscoveryResult
from acdc.errors import ACDCError
from acdc.evaluation import (
    denoised_logits,
    draw_specification,
    measure,
    rediscover,
    resampled,
    specifications,
    stability,
)
from acdc.evaluation.specification import GRANULARITIES
from acdc.patching.ablations import ABLATIONS
from acdc.patching.problem import Problem
from tests.evaluation.ground import problem_of, random_circuit, snapshot
from tests.oracle import naive_logits
from tests.tiny import tiny_batch, tiny_model


def test_denoising_is_the_oracle_with_the_sides_swapped() -> None:
    problem = problem_of("llama-gqa")
    mask = random_circuit(problem)
    swapped = replace(problem.batch, clean=problem.batch.corrupt, corrupt=problem.batch.clean)
    live = problem.model.graph.edges_mask & ~mask
    expected = naive_logits(problem.model, swapped, problem.clean.outputs, live)
    torch.testing.assert_close(denoised_logits(problem, mask), expected, atol=1e-10, rtol=0)


def test_denoising_everything_gives_the_clean_logits_and_nothing_the_corrupted() -> None:
    problem = problem_of()
    full = problem.model.graph.edges_mask
    corrupted = problem.logits(torch.zeros_like(full))
    torch.testing.assert_close(denoised_logits(problem, full), problem.clean.logits, atol=1e-10, rtol=0)
    torch.testing.assert_close(denoised_logits(problem, torch.zeros_like(full)), corrupted, atol=1e-10, rtol=0)


def test_granularities_grow() -> None:
    graph = Graph(2, 2, 8)
    mask = graph.mask_of(
        ["input->a0.h0<v>", "input->a0.h1<q>", "a0.h0->a1.h1<k>", "a0.h1->m1", "a1.h1->logits", "m1->logits"]
    )
    edges, among, whole = (set(graph.edge_names(widen(graph, mask))) for widen in GRANULARITIES.values())
    assert edges == set(graph.edge_names(mask))
    assert among >= {"a0.h1->a1.h1<k>", "a0.h0->m1", "input->logits"} and "a0.h0->a1.h1<q>" not in among
    assert whole >= among | {"a0.h0->a1.h1<q>", "a0.h0->m0"} and not any(name.startswith("m0") for name in whole)
    assert edges < among < whole


@pytest.mark.parametrize("granularity", ["among nodes", "whole nodes"])
def test_the_whole_model_is_1_in_every_specification(granularity: str) -> None:
    batch = tiny_batch(lengths=(6, 6, 8, 8))
    problem = Problem.make(tiny_model("gpt2"), batch, seed=5)
    found = specifications({"here": problem}, problem.model.graph.edges_mask)
    assert set(found.skipped) == {"here, optimal"}, "nothing has learned its constants"
    rows = [row for row in found.rows if row.granularity == granularity]
    assert {row.ablation for row in rows} == set(ABLATIONS) - {"optimal"}
    assert all(row.faithfulness == pytest.approx(1, abs=1e-7) for row in rows)
    assert len(found.rows) == (6 + 1) * 3 * 4, "ablations and denoising, granularities, metrics"


@pytest.mark.parametrize("ablation", ["corrupt", "zero", "mean-all", "mean-positional"])
@pytest.mark.parametrize("metric", ["kl", "logit_diff"])
def test_a_specification_is_what_measure_says(ablation: str, metric: str) -> None:
    problem = problem_of(metric=metric, ablation=ablation)
    mask, before = random_circuit(problem), snapshot(problem)
    found = specifications({"here": problem_of()}, mask, ablations=[ablation])
    row = next(r for r in found.rows if (r.direction, r.granularity, r.metric) == ("noising", "edges", metric))
    expected = measure(problem, mask)
    assert row.faithfulness == pytest.approx(expected["faithfulness"], abs=1e-9)
    assert row.value == pytest.approx(expected[metric]["circuit"], abs=1e-9)
    assert row.n_edges == int(mask.sum()) and row.n_prompts == problem.batch.n
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(problem), strict=True))


def test_an_ablation_that_the_prompts_do_not_allow_is_left_out_with_its_reason() -> None:
    problem = problem_of()
    found = specifications({"here": problem}, random_circuit(problem), ablations=["corrupt", "resample"])
    assert list(found.skipped) == ["here, resample"] and "same length" in found.skipped["here, resample"]


def test_the_specification_curve_is_drawn(tmp_path) -> None:
    problem = problem_of()
    found = specifications({"a <b>": problem, "c": problem}, random_circuit(problem), ablations=["corrupt", "zero"])
    own = {"prompts": "c", "ablation": "corrupt", "direction": "noising", "granularity": "edges", "metric": "kl"}
    path = draw_specification(found.to_frame(), tmp_path / "specification.svg", own=own, title="t")
    text = path.read_text()
    assert "prompts: a &lt;b&gt;" in text and "granularity: whole nodes" in text
    assert f"{len(found.rows)} ways to measure" in text


def test_inclusion_frequencies_and_jaccard_by_hand() -> None:
    graph = Graph(1, 1, 4)
    names = (["input->m0", "m0->logits"], ["input->m0", "input->logits"], ["input->m0"])
    masks = [graph.mask_of(each) for each in names]
    found = stability(graph, masks)
    assert float(found.frequency[graph.parse_edge("input->m0")]) == 1
    assert float(found.frequency[graph.parse_edge("m0->logits")]) == pytest.approx(1 / 3)
    assert found.always == found.core == ("input->m0",)
    assert set(found.optional) == {"m0->logits", "input->logits"}
    assert found.jaccard == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3) and found.least_jaccard == pytest.approx(1 / 3)
    assert found.sizes == (2, 2, 1)
    assert jaccard(masks[0] & ~masks[0], masks[0] & ~masks[0]) == 1
    with pytest.raises(ACDCError, match="at least one circuit"):
        stability(graph, [])


def test_rediscovery_runs_the_method_on_each_problem() -> None:
    problem = problem_of()
    seen = []

    def discover(each: Problem) -> DiscoveryResult:
        seen.append(each.batch.fingerprint)
        scores = torch.zeros(each.model.graph.n_src, each.model.graph.n_dst)
        return DiscoveryResult(random_circuit(each, seed=len(seen)), scores, "none", {})

    masks = rediscover([resampled(problem, seed) for seed in (0, 1, 0)], discover)
    assert len(masks) == 3 and seen[0] == seen[2] != seen[1], "a sample is its seed's"
    rows = {tuple(row) for row in problem.batch.clean.tolist()}
    again = resampled(problem, 1)
    width = again.batch.n_pos
    assert {tuple(row) for row in again.batch.clean.tolist()} <= {row[-width:] for row in rows}
