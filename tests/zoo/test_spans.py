"""The true circuits by span: at which spans each true edge acts, by construction, is just where it matters."""

from collections.abc import Callable, Sequence
from typing import Any

import compile_brackets
import compile_chain
import compile_either
import compile_frac_prevs
import compile_induction
import compile_reverse
import compile_suppression
import pytest
import torch
from plans import PLANS

from acdc.benchmarking import known_circuits
from acdc.circuits.circuit import Circuit
from acdc.discovery.acdc import acdc
from acdc.models import PatchableModel
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from acdc.prompts.positions import split_by
from acdc.task import load_task
from acdc.zoo import zoo_path

SCRIPTS = {script.model().name: script for script in (compile_reverse, compile_frac_prevs, compile_brackets)}

TRUTHS: dict[str, Callable[[Sequence[str]], Circuit]] = {
    **{name: script.model().truth_at for name, script in SCRIPTS.items()},
    "induction-compiled": compile_induction.truth_at,
    **{script.model().name: script.model().truth_at for script in (compile_chain, compile_either, compile_suppression)},
    **{plan.name: plan.truth_at for plan in PLANS.values()},
}

OF_BOTH_SIGNS = {"metric": "logit_diff", "absolute": True, "tau": 2.0}


def test_the_shipped_circuits_by_span_are_what_the_scripts_say() -> None:
    for known in known_circuits():
        whole = Circuit.load(zoo_path(known.model) / "circuit.json")
        shipped = known.circuit(whole.graph.split(known.spans))
        assert shipped.edges == TRUTHS[known.model](known.spans).edges
        assert shipped.merge_spans().edges == whole.edges


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_true_edge_matters_at_its_spans_and_nowhere_else(name: str) -> None:
    model = PatchableModel.from_pretrained(name, dtype="float64")
    batch = split_by(
        load_task(name.removesuffix("-compiled")).batch(model.tokenizer, 40 if "reverse" in name else 12), "spans"
    )
    problem = Problem.make(model, batch)
    truth = SCRIPTS[name].model().truth_at(batch.spans)
    edges = [tuple(edge) for edge in problem.graph.edges_mask.nonzero().tolist()]
    state = CircuitState(problem)
    effects = (state.losses(edges) - state.loss).abs()
    true = torch.tensor([bool(truth.mask[edge]) for edge in edges])
    assert effects[true].min() > 0.05, "nats, on average over prompts of which few have a colon there"
    assert effects[~true].max() < 1e-6


def found_by_acdc(name: str, n: int, positions: str, *, options: dict[str, Any] | None = None, **how: Any) -> Circuit:
    model = PatchableModel.from_pretrained(name)
    task = load_task(name.rpartition("-")[0], **(options or {}))
    metric = how.pop("metric", "kl")
    problem = Problem.make(model, split_by(task.batch(model.tokenizer, n), positions), metric=metric)
    return Circuit(problem.graph, acdc(problem, **{"tau": 0.05, "sweeps": 0} | how).mask)


@pytest.mark.parametrize(
    "name, n, truth_at, how",
    [
        ("induction-compiled", 4, compile_induction.truth_at, {}),
        ("neighbor-planted", 8, PLANS["neighbor"].truth_at, {}),
        ("suppression-compiled", 8, compile_suppression.model().truth_at, OF_BOTH_SIGNS),
        ("chain-compiled", 4, compile_chain.model().truth_at, {}),
    ],
)
def test_acdc_recovers_the_true_edges_at_their_spans(
    name: str, n: int, truth_at: Callable[[Sequence[str]], Circuit], how: dict[str, Any]
) -> None:
    found = found_by_acdc(name, n, "spans", **how)
    assert found.edges == truth_at(found.graph.spans).edges
    assert found.merge_spans().edges == truth_at(found.graph.spans).merge_spans().edges


def test_of_an_or_acdc_recovers_one_path_at_its_spans() -> None:
    found, truth = found_by_acdc("either-compiled", 12, "spans"), compile_either.model().truth_at
    other = {"a1.h0", "a1.h2"}.difference({name.partition("@")[0] for name in found.nodes}).pop()
    expected = [edge for edge in truth(found.graph.spans).edges if other not in edge]
    unneeded = {"a1.h0": "input->a0.h1<v>@equals", "a1.h2": "input->a0.h1<v>@bang"}[other]
    assert sorted(found.edges) == sorted(set(expected) - {unneeded})


def test_each_true_edge_of_recall_matters_at_its_spans_and_no_other_does() -> None:
    """A key of the corrupted prompt that says the letter asked for is looked at, wherever it stands."""
    model = PatchableModel.from_pretrained("recall-planted")
    batch = split_by(load_task("recall").batch(model.tokenizer, 150), "spans")
    problem, truth = Problem.make(model, batch, metric="kl"), PLANS["recall"].truth_at(batch.spans)
    edges = [tuple(edge) for edge in problem.graph.edges_mask.nonzero().tolist()]
    state = CircuitState(problem)
    effects = (state.losses(edges) - state.loss).abs()
    true = torch.tensor([bool(truth.mask[edge]) for edge in edges])
    assert effects[true].min() > 0.1 and effects[~true].max() < 0.01


def test_at_each_position_the_true_edges_are_where_the_task_put_them() -> None:
    found = found_by_acdc("neighbor-planted", 8, "each", options={"length": 4})
    spans = {"first": "0", "sign": "4"}
    truth = PLANS["neighbor"].truth_at(("rest", "first", "sign"))
    assert set(found.edges) == {f"{name}@{spans[span]}" for name, _, span in (e.partition("@") for e in truth.edges)}
