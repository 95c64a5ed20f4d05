"""Faithfulness against size, CPR and CMD."""

import itertools
import math

import numpy as np
import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.circuits.ranking import top_edges
from acdc.errors import ACDCError
from acdc.evaluation import (
    MIB_SHARES,
    areas,
    corrected_areas,
    curve,
    draw_curve,
    log_sizes,
    mib_areas,
    mib_cpr,
    mib_sizes,
)
from acdc.evaluation.curves import TIE_ORDERS
from tests.evaluation.ground import naive_values, problem_of, snapshot


def random_scores(graph: Graph, seed: int = 0) -> torch.Tensor:
    scores = torch.randn(graph.n_src, graph.n_dst, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scores.masked_fill(~graph.edges_mask, math.nan)


def test_mib_s_areas_by_hand() -> None:
    """f is 0 below a share of .2 and 1 from there on: one trapezoid from .1 to .2, then a rectangle of .8."""
    f = [0.0] * 7 + [1.0] * 3
    cpr, cmd = mib_areas(f)
    assert cpr == pytest.approx(0.1 / 2 + 0.8)
    assert cmd == pytest.approx((0.1 - 0.001) + 0.1 / 2)
    assert mib_areas([1.0] * 10) == pytest.approx((0.999, 0.0)), "a perfect circuit doesn't get 1"
    over, distance = mib_areas([1.5] * 10)
    assert over == pytest.approx(1.4985) and distance == pytest.approx(0.4995), "too much counts against CMD alone"
    assert mib_sizes(32491) == (32, 64, 162, 324, 649, 1624, 3249, 6498, 16245, 32491)
    with pytest.raises(ACDCError, match="10 shares"):
        mib_areas([1.0])


def test_corrected_areas_by_hand() -> None:
    n = 99  # log 100 = 2 log 10
    assert corrected_areas([0, 9, 99], [0.0, 1.0, 1.0], n) == pytest.approx((0.25 + 0.5, 0.25))
    assert corrected_areas([99, 9, 0], [1.0, 1.0, 0.0], n) == pytest.approx((0.75, 0.25)), "in any order"
    assert corrected_areas([0, 99], [1.0, 1.0], n) == pytest.approx((1.0, 0.0)), "a perfect one gets 1"
    with pytest.raises(ACDCError, match="with no edge and with all"):
        corrected_areas([9, 99], [1.0, 1.0], n)


def test_log_sizes_go_from_none_to_all() -> None:
    sizes = log_sizes(1000, 4)
    assert sizes == (0, 1, 10, 100, 1000)
    assert log_sizes(3) == (0, 1, 2, 3)


@pytest.mark.parametrize("metric", ["kl", "logit_diff"])
def test_every_point_is_what_the_oracle_says(metric: str) -> None:
    problem = problem_of(metric=metric)
    graph, scores = problem.model.graph, random_scores(problem.model.graph)
    found = curve(problem, scores, sizes=[0, 30, 60, graph.n_edges])
    empty, full = (
        float(naive_values(problem, m).mean()) for m in (torch.zeros_like(graph.edges_mask), graph.edges_mask)
    )
    sizes = []
    for point in found.points:
        mask = graph.prune(top_edges(graph, scores, point["asked"], signed=True))
        values, rest = naive_values(problem, mask), naive_values(problem, graph.edges_mask & ~mask)
        sizes.append(point["n_edges"])
        assert point["n_edges"] == int(mask.sum())
        assert point[metric] == pytest.approx(float(values.mean()), abs=1e-9)
        assert point[f"{metric}_q50"] == pytest.approx(float(np.median(values)), abs=1e-9)
        assert point[f"{metric}_faithfulness"] == pytest.approx(
            (float(values.mean()) - empty) / (full - empty), abs=1e-8
        )
        assert point[f"{metric}_complement"] == pytest.approx(float(rest.mean()), abs=1e-9)
        assert isinstance(point["worst_prompt"], str) and point["worst_prompt"]
    assert sizes == sorted(sizes) and sizes[0] == 0 and sizes[-1] == graph.n_edges
    assert found.points[0][f"{metric}_faithfulness"] == pytest.approx(0, abs=1e-9)
    assert found.points[-1][f"{metric}_faithfulness"] == pytest.approx(1, abs=1e-9)


def test_areas_use_the_signed_ranking_for_cpr_and_the_absolute_one_for_cmd() -> None:
    problem = problem_of(metric="logit_diff")
    scores, n = random_scores(problem.model.graph, 1), problem.model.graph.n_edges
    signed, absolute = (curve(problem, scores, ranking=r, complement=False) for r in ("signed", "absolute"))
    found = areas(signed, absolute)
    f, g = ({p["asked"]: p["logit_diff_faithfulness"] for p in each.points} for each in (signed, absolute))
    cpr = cmd = 0.0
    for a, b in itertools.pairwise(MIB_SHARES):
        cpr += (b - a) * (f[int(a * n)] + f[int(b * n)]) / 2
        cmd += (b - a) * (abs(1 - g[int(a * n)]) + abs(1 - g[int(b * n)])) / 2
    assert found["mib"]["logit_diff"] == pytest.approx({"cpr": cpr, "cmd": cmd})
    assert set(found["corrected"]) == {"kl", "logit_diff", "prob_diff", "nll"}


def tied_scores(graph: Graph) -> torch.Tensor:
    """Few different values, most of them 0, as ACDC's free removals have."""
    return (random_scores(graph).nan_to_num() * 1.3).round().clamp_min(0)


def test_a_tie_is_measured_over_orders_among_equals_and_says_so() -> None:
    """Each order is a ranking of its own, and the numbers are means over them."""
    problem = problem_of(metric="logit_diff")
    graph, n = problem.model.graph, problem.model.graph.n_edges
    scores = tied_scores(graph)
    signed, absolute = (curve(problem, scores, ranking=r, complement=False) for r in ("signed", "absolute"))
    assert len(signed.orders) == TIE_ORDERS
    values = []
    for order in range(TIE_ORDERS):
        f = []
        for share in MIB_SHARES:
            mask = graph.prune(top_edges(graph, scores, int(share * n), signed=True, ties=order))
            values_ = naive_values(problem, mask)
            f.append(float(values_.mean()))
        empty, full = (float(naive_values(problem, m).mean()) for m in (graph.edges_mask & False, graph.edges_mask))
        values.append(mib_areas([(each - empty) / (full - empty) for each in f])[0])
    found = areas(signed, absolute)["mib"]["logit_diff"]
    assert found["cpr"] == pytest.approx(np.mean(values), abs=1e-8)
    assert found["cpr_spread"] == pytest.approx([min(values), max(values)], abs=1e-8)
    assert found["cpr_spread"][0] < found["cpr"] < found["cpr_spread"][1], "ties decide this area"
    for point in signed.points:
        at = [next(each for each in order if each["asked"] == point["asked"]) for order in signed.orders]
        ratios = [each["logit_diff_faithfulness"] for each in at]
        assert point["logit_diff_faithfulness"] == pytest.approx(np.mean(ratios), abs=1e-9)
        if point["n_tied"]:
            assert point["logit_diff_faithfulness_low"] == min(ratios)
        else:
            assert len(set(ratios)) == 1
    again = areas(curve(problem, scores, complement=False), absolute)["mib"]["logit_diff"]
    assert again == found, "equal seeds"
    other = areas(curve(problem, scores, complement=False, seed=1), absolute)["mib"]["logit_diff"]
    assert other["cpr"] != found["cpr"], "other orders"


def test_without_ties_nothing_is_drawn() -> None:
    problem = problem_of()
    scores = random_scores(problem.model.graph)
    one, other = (curve(problem, scores, sizes=[0, 30, 60], complement=False, seed=seed) for seed in (0, 1))
    assert one == other and len(one.orders) == 1 and not any(point["n_tied"] for point in one.points)


def test_a_circuit_that_recurs_is_measured_once() -> None:
    problem = problem_of()
    found = curve(problem, random_scores(problem.model.graph), sizes=[0, 1, 2, problem.model.graph.n_edges])
    assert found.forward_passes == 1, "one or two random edges are no path, so there is just none; all is the clean run"


def test_the_curve_changes_nothing_and_draws(tmp_path) -> None:
    problem = problem_of()
    scores = random_scores(problem.model.graph)
    before, given = snapshot(problem), scores.clone()
    frame = curve(problem, scores, sizes=[0, 40, problem.model.graph.n_edges]).to_frame()
    assert torch.equal(given.nan_to_num(), scores.nan_to_num())
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(problem), strict=True))
    mark = {"n_edges": 40, "faithfulness": 0.5, "value": 1.0}
    for name in ("curve.svg", "again.svg", "curve.png"):
        draw_curve(frame, tmp_path / name, metric="kl", circuit=mark, title="a $ b <c>")
    assert (tmp_path / "curve.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    text = (tmp_path / "curve.svg").read_text()
    assert "a $ b &lt;c&gt;" in text and "the circuit" in text
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ACDCError, match="must be one of svg, png, pdf"):
        draw_curve(frame, tmp_path / "curve.gif", metric="kl")


def test_the_cpr_of_a_curve_is_that_of_its_areas() -> None:
    problem = problem_of()
    scores = random_scores(problem.model.graph)
    signed, absolute = (curve(problem, scores, ranking=r, complement=r == "signed") for r in ("signed", "absolute"))
    found = mib_cpr(signed)
    assert found == {name: each["cpr"] for name, each in areas(signed, absolute)["mib"].items()}
