"""From scores to circuits: what each way of selecting keeps."""

import math

import pytest
import torch

import acdc.discovery.selection.select as selection
from acdc.circuits.ranking import ranked_edges
from acdc.discovery import METHODS, check_options
from acdc.discovery.attribution.eap import eap
from acdc.discovery.selection.by_size import greedy_order
from acdc.discovery.selection.candidates import with_positive_share
from acdc.discovery.selection.resampling import consistent
from acdc.discovery.selection.select import select
from acdc.errors import ACDCError
from acdc.patching.problem import Problem
from tests.discovery.selection.scored import chosen, found, problem_of
from tests.tiny import tiny_batch, tiny_model


@pytest.mark.parametrize("signed", [False, True])
def test_top_n_keeps_the_n_best(signed: bool) -> None:
    mask = chosen(select="top-n", n_edges=20, signed=signed, prune=False).mask
    scores = found().scores if signed else found().scores.abs()
    edges = problem_of().model.graph.edges_mask
    assert int(mask.sum()) == 20
    assert float(scores[mask].min()) >= float(scores[edges & ~mask].max())


@pytest.mark.parametrize("ablation", ["corrupt", "zero"])
@pytest.mark.parametrize("way", ["top-n", "greedy"])
@pytest.mark.parametrize("options", [{}, {"signed": True}])
def test_n_edges_is_the_size_of_what_is_returned(way: str, options: dict, ablation: str) -> None:
    problem = Problem.make(tiny_model("gpt2"), tiny_batch(), metric="logit_diff", ablation=ablation, seed=3)
    scores = eap(problem)
    for n in (1, 2, 3, 7, 40, problem.model.graph.n_edges):
        kept = select(problem, scores, select=way, n_edges=n, **options)
        assert int(kept.mask.sum()) == n
        assert torch.equal(problem.prune(kept.mask), kept.mask), "nothing dangles"
        assert not any("instead of" in warning for warning in kept.warnings)


def test_a_shortfall_is_said_with_its_reason() -> None:
    kept = chosen(n_edges=100, resamples=200)
    n, allowed = int(kept.mask.sum()), kept.diagnostics["sign_consistent_edges"]
    assert n < 100
    assert kept.warnings[0].startswith(f"the circuit has {n} edges instead of 100: only so many of the {allowed} edges")


def test_a_large_graph_has_a_fixed_size_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of()
    assert chosen().resolved == {} and "curve" in chosen().diagnostics
    monkeypatch.setattr(selection, "LARGE", problem.model.graph.n_edges - 1)
    monkeypatch.setattr(selection, "LARGE_SIZE", 11)
    kept = chosen()
    assert int(kept.mask.sum()) == 11 and kept.resolved == {"select": "top-n", "n_edges": 11}
    assert kept.forward_passes == 0
    for options in ({"faithfulness": 0.5}, {"select": "faithfulness"}):
        assert "curve" in chosen(**options).diagnostics and chosen(**options).resolved == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"threshold": 1e9},
            "does as the run with every edge removed: it is empty; lower the threshold, or take select=gr",
        ),
        ({"n_edges": 1}, "is the edge input->logits alone, without a head or MLP; ask for more edges"),
        ({"n_edges": 60}, "% of the model's edges, which is much of the model rather than a circuit"),
        ({"threshold": 0.0}, "keeps all the model's edges, which is much of the model"),
        ({"n_edges": 20}, None),
    ],
)
def test_a_circuit_of_nothing_or_of_nearly_all_is_called_that(options: dict, message: str | None) -> None:
    warnings = chosen(**options).warnings
    assert (len(warnings) == 1 and message in warnings[0]) if message else not warnings


def test_a_threshold_keeps_what_reaches_it() -> None:
    mask = chosen(threshold=0.003, prune=False).mask
    assert torch.equal(mask, (found().scores.abs() >= 0.003))
    assert torch.equal(chosen(threshold=0.003, signed=True, prune=False).mask, found().scores >= 0.003)


def test_n_edges_alone_means_top_n() -> None:
    assert torch.equal(chosen(n_edges=9).mask, chosen(select="top-n", n_edges=9).mask)


def test_greedy_adds_the_best_edge_into_a_node_that_is_held() -> None:
    graph, scores = problem_of().model.graph, found().scores.abs()
    held, mask = {None}, torch.zeros_like(graph.edges_mask)
    for edge in greedy_order(graph, found().scores, graph.edges_mask)[:40].tolist():
        into_held = graph.edges_mask & torch.tensor([node in held for node in graph.src_of_dst])[None, :] & ~mask
        src, dst = divmod(edge, graph.n_dst)
        assert into_held[src, dst]
        assert float(scores[src, dst]) == float(scores[into_held].max())
        mask[src, dst] = True
        held.add(src)
    assert torch.equal(chosen(select="greedy", n_edges=40, prune=False).mask, mask)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.8, 1.0])
def test_a_positive_share_is_kept_at_every_size(share: float) -> None:
    graph, scores = problem_of().model.graph, found().scores
    order = with_positive_share(ranked_edges(graph, scores, signed=False), scores, share)
    assert sorted(order.tolist()) == graph.edges_mask.flatten().nonzero()[:, 0].tolist()
    values = scores.flatten()[order]
    for n in range(1, 30):
        assert abs(int((values[:n] > 0).sum()) - share * n) <= 0.5
    for side in (values[values > 0], values[values <= 0]):
        assert torch.equal(side, side[side.abs().sort(descending=True, stable=True).indices])


def test_resampling_drops_edges_whose_sign_hangs_on_a_few_prompts() -> None:
    groups = torch.tensor([[1.0, 1.0, -5.0, math.nan]] * 9 + [[1.0, -8.5, -5.0, math.nan]]).view(10, 1, 4)
    kept = consistent(groups.double(), resamples=200, agreement=0.95, seed=1)
    assert kept.tolist() == [[True, False, True, False]]
    assert torch.equal(kept, consistent(groups.double(), resamples=200, agreement=0.95, seed=1))
    filtered = chosen(n_edges=30, resamples=100, prune=False)
    assert bool((~filtered.mask | consistent(found().groups, resamples=100, seed=3)).all())
    assert filtered.diagnostics["sign_consistent_edges"] < problem_of().model.graph.n_edges


def test_a_method_scores_and_selects() -> None:
    problem, method = problem_of(), METHODS["eap"]
    options = check_options(method, {"n_edges": 12, "resamples": 50, "prune": False})
    result = method.search(problem, **options)
    torch.testing.assert_close(result.scores, eap(problem).scores, atol=1e-12, rtol=0, equal_nan=True)
    assert int(result.mask.sum()) == 12
    assert result.cost == {"forward_passes": 2, "backward_passes": 1}
    for name in ("resamples", "agreement", "n_groups"):
        with pytest.raises(ACDCError, match="unknown option"):
            check_options(METHODS["exact"], {name: 2})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"faithfulness": 0.0}, "faithfulness must be a number of more than 0 and at most 1"),
        ({"faithfulness": 1.5}, "faithfulness must be a number of more than 0 and at most 1"),
        (
            {"faithfulness": 0.5, "n_edges": 4},
            "faithfulness can't be given with select=top-n; it goes with",
        ),
        ({"n_edges": 4, "threshold": 0.1}, "threshold can't be given with select=top-n"),
        ({"select": "top-n"}, "needs n_edges"),
        ({"select": "greedy", "n_edges": 0}, "n_edges must be a whole number of at least 1"),
        ({"n_edges": 10**6}, "n_edges must be from 1 to the model's"),
        ({"select": "threshold"}, "needs threshold"),
        ({"select": "threshold", "n_edges": 3, "threshold": 0.1}, "n_edges can't be given"),
        ({"select": "top-n", "n_edges": 3, "threshold": 0.1}, "threshold can't be given"),
        ({"select": "top"}, "unknown way to select 'top': did you mean 'top-n'"),
        ({"share": 0.5}, "unknown option of select"),
        ({"select": "greedy", "n_edges": 4, "positive_share": 0.5}, "it goes with faithfulness or top-n"),
        ({"positive_share": 2.0}, "positive_share must be"),
        ({"positive_share": 0.5, "signed": True}, "positive_share goes with edges that are ranked by size"),
        ({"resamples": -1}, "resamples must be a whole number of at least 0"),
        ({"agreement": 0.4}, "agreement must be a number of more than 0.5"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ACDCError, match=message):
        chosen(**options)


def test_options_of_older_versions_are_taken() -> None:
    options = check_options(METHODS["eap"], {"retention": 0.5, "select": "retention"})
    assert options["faithfulness"] == 0.5 and "retention" not in options
    assert chosen(select="retention", faithfulness=0.5).diagnostics == chosen(faithfulness=0.5).diagnostics
    with pytest.raises(ACDCError, match="faithfulness is given twice: retention is an older name of it"):
        check_options(METHODS["eap"], {"retention": 0.5, "faithfulness": 0.5})
