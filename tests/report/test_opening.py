"""What stands at the top: the best measured faithfulness, and honestly what isn't known."""

from dataclasses import replace
from typing import Any

import pytest

from acdc.report import Findings
from acdc.report.headline import headline
from acdc.report.opening import opening
from tests.report.samples import explanation_of, random_circuit, split_circuit

pytestmark = pytest.mark.fast


def metrics_of(**changes: Any) -> dict[str, Any]:
    """A run's metrics on 8 prompts."""
    means = {"model": 1.0, "circuit": 0.9, "corrupted": 0.1}
    found = {"n_prompts": 8, "metric": "kl", "faithfulness": 0.7, "no_meaning": None, "warnings": [], "predictions": []}
    return found | {"accuracy": means, "p_correct": means, "held_out": None} | changes


def findings_of(**changes: Any) -> Findings:
    return Findings(random_circuit(), metrics=metrics_of(**changes))


def test_held_out_prompts_come_before_those_of_the_search() -> None:
    best = headline(findings_of(held_out=metrics_of(faithfulness=0.5, n_seen=0)))
    assert best is not None and (best.value, best.prompts, best.held_out) == (0.5, "8 held-out prompts", True)
    told = opening(findings_of())
    assert "0.7 by kl on 8 prompts of the search" in told.answer
    assert any("prompts that the search did not see was not measured" in sentence for sentence in told.uncertain)


def test_prompts_that_were_seen_are_not_held_out() -> None:
    told = opening(findings_of(held_out=metrics_of(n_seen=3)))
    assert "3 of which the search saw" in told.answer
    assert any("did not see was not measured" in sentence for sentence in told.uncertain)


def test_a_ratio_without_a_meaning_is_no_answer() -> None:
    told = opening(findings_of(held_out=metrics_of(n_seen=0, no_meaning="both do the same")))
    assert "how faithful they are can't be said: both do the same" in told.answer
    assert "0.7 (no meaning)" in {fact.value for fact in told.facts}


def test_what_an_explanation_measured_comes_before_the_metrics() -> None:
    found = findings_of(held_out=metrics_of(n_seen=0))
    ratio = {"value": 0.6, "low": 0.5, "high": 0.65, "no_meaning": None, "under_covers": False}
    extra = {"faithfulness": {"kl": ratio, "nll": ratio | {"value": 0.1}}, "prompts": "100 held-out prompts"}
    explanation = explanation_of(found.circuit).model_copy(update={"extra": extra, "held_out": True, "answer": ""})
    told = opening(replace(found, explanation=explanation))
    assert "0.6 [0.5, 0.65] by kl on 100 held-out prompts" in told.answer


def test_scores_that_are_no_effects_are_told() -> None:
    circuit = replace(random_circuit(), score_kind="estimated effect")
    assert any("is no measured effect" in sentence for sentence in opening(Findings(circuit)).uncertain)
    assert any("is a measured effect" in sentence for sentence in opening(Findings(random_circuit())).certain)


def test_guarantees_that_hold_and_those_that_do_not() -> None:
    told = opening(replace(findings_of(), record={"claims": {"minimal_at_tau": True, "exact": False}}))
    assert "By the way it was found: minimal at tau." in told.certain
    assert "Not guaranteed by the way it was found: exact." in told.uncertain


def test_nodes_of_split_edges_are_counted_at_each_span() -> None:
    graph = split_circuit().graph
    [nodes] = [fact for fact in opening(Findings(split_circuit())).facts if fact.name == "nodes"]
    assert nodes.more == f"of {3 * graph.n_src + 1}"
