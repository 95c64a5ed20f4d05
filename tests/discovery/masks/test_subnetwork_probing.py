"""Subnetwork probing finds the nodes of a known circuit; closed nodes write what they write ablated."""

import functools
import math
from collections import deque

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.discovery.masks.subnetwork_probing import NodeGates, subnetwork_probing
from acdc.errors import ACDCError
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.patching.weighted import weighted_logits
from acdc.task import load_task
from acdc.zoo import zoo_path
from tests.discovery.test_acdc import Memory
from tests.tiny import tiny_batch, tiny_model

QUICK = {"steps": 24, "batch_size": 3}


@functools.cache
def problem_of(family: str) -> Problem:
    return Problem.make(tiny_model(family), tiny_batch(), seed=5)


@pytest.mark.parametrize("options", [{"l0_penalty": 0.05}, {"n_nodes": 2}])
def test_the_compiled_circuit_s_nodes_are_recovered_exactly(options: dict) -> None:
    model = PatchableModel.from_pretrained("induction-compiled")
    truth = Circuit.load(zoo_path("induction-compiled") / "circuit.json", graph=model.graph)
    problem = Problem.make(model, load_task("induction").batch(model.tokenizer, 12, 0))
    found = subnetwork_probing(problem, steps=100, batch_size=6, **options)
    assert model.graph.node_names(found.mask) == list(truth.nodes) == ["input", "a0.h2", "a1.h1", "logits"]
    assert found.guarantees["n_open"] == 2


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama-gqa"])
def test_edges_between_kept_nodes_do_as_nodes_that_are_kept(family: str) -> None:
    problem = problem_of(family)
    gates = NodeGates(problem.model.graph)
    kept = torch.rand(gates.n, generator=torch.Generator().manual_seed(1)) < 0.6
    mask = gates.mask(kept)
    weighted = weighted_logits(problem.masked, gates.weights(kept.double()))
    torch.testing.assert_close(problem.logits(mask), weighted, atol=1e-10, rtol=0)
    assert torch.equal(problem.model.graph.prune(mask), mask), "every kept node lies on a path"
    scores = gates.log_odds(torch.where(kept, 1.0, -1.0).double())
    free = problem.model.graph.parse_edge("input->logits")
    assert math.isnan(scores[free])
    assert torch.equal((scores > 0) | (scores.isnan() & mask), mask), "positive where both ends are open"


def test_a_higher_l0_penalty_keeps_fewer_nodes_and_none_keeps_all() -> None:
    problem = problem_of("gpt2")
    sizes = [
        subnetwork_probing(problem, l0_penalty=penalty, steps=120, patience=None).guarantees["n_open"]
        for penalty in (0.0, 0.1, 30.0)
    ]
    assert sizes[0] >= sizes[1] >= sizes[2] == 0
    assert sizes[0] > sizes[2]


def test_a_number_of_nodes_is_met() -> None:
    problem = problem_of("gpt2")
    found = subnetwork_probing(problem, n_nodes=4, steps=400, patience=None)
    assert found.guarantees["target_met"]
    nodes = set(problem.model.graph.node_names(found.mask)) - {"input", "logits"}
    assert len(nodes) == 4


@pytest.mark.parametrize("options", [{}, {"n_nodes": 3}])
def test_a_stopped_search_goes_on_to_the_same_circuit(options: dict) -> None:
    problem = problem_of("llama-gqa")
    expected = subnetwork_probing(problem, **QUICK, **options)
    stopped = Memory(room=2)
    with pytest.raises(KeyboardInterrupt):
        subnetwork_probing(problem, checkpoint=stopped, **QUICK, **options)
    found = subnetwork_probing(problem, checkpoint=Memory(recorded=deque(stopped.written)), **QUICK, **options)
    assert torch.equal(found.mask, expected.mask)
    assert torch.equal(found.scores.nan_to_num(9), expected.scores.nan_to_num(9)), "bit for bit"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l0_penalty": 0.1, "n_nodes": 3}, "not both"),
        ({"l0_penalty": -1.0}, "l0_penalty must be a number of at least 0"),
        ({"n_nodes": 0}, "n_nodes must be between 1 and the model's 9 heads and MLPs"),
        ({"n_nodes": 10}, "n_nodes must be between 1 and the model's 9 heads and MLPs"),
        ({"warmup": -0.1}, "warmup must be a number of at least 0"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ACDCError, match=message):
        subnetwork_probing(problem_of("gpt2"), **options)
