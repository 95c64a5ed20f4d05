"""Edge pruning keeps exactly what it is asked for, finds a known circuit, and goes on where it was stopped."""

import functools
import math
from collections import deque
from dataclasses import replace

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.ranking import ranked_edges
from acdc.discovery.masks.edge_pruning import METHOD, EdgeGates, edge_pruning
from acdc.discovery.masks.hard_concrete import p_open
from acdc.discovery.masks.training import _rows
from acdc.discovery.method import check_options
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.selection.take import take
from acdc.errors import ACDCError
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.progress import Progress
from acdc.task import load_task
from acdc.zoo import zoo_path
from tests.cases import covering
from tests.discovery.test_acdc import Memory
from tests.tiny import tiny_batch, tiny_model

QUICK = {"steps": 24, "batch_size": 3}


@functools.cache
def problem_of(family: str, metric: str = "kl") -> Problem:
    return Problem.make(tiny_model(family), tiny_batch(), metric=metric, seed=5)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_compiled_circuit_is_recovered_exactly(seed: int) -> None:
    model = PatchableModel.from_pretrained("induction-compiled")
    truth = Circuit.load(zoo_path("induction-compiled") / "circuit.json", graph=model.graph)
    problem = Problem.make(model, load_task("induction").batch(model.tokenizer, 12, seed), seed=seed)
    found = edge_pruning(problem, n_edges=5, steps=250, batch_size=12)
    assert model.graph.edge_names(found.mask) == list(truth.edges)


@pytest.mark.parametrize("prune", [True, False])
@pytest.mark.parametrize("options", [{"n_edges": 1}, {"n_edges": 37}, {"sparsity": 0.5}, {"sparsity": 0.0}, {}])
def test_the_circuit_has_the_wanted_size(options: dict, prune: bool) -> None:
    problem = problem_of("llama-gqa")
    graph, found = problem.model.graph, edge_pruning(problem, prune=prune, steps=2, **options)
    wanted = options.get("n_edges", round((1 - options.get("sparsity", 0.95)) * graph.n_edges))
    assert int(found.mask.sum()) == wanted
    graph.check_mask(found.mask)
    if prune:
        assert torch.equal(graph.prune(found.mask), found.mask)
    assert torch.equal(found.scores.isnan(), ~graph.edges_mask)


def test_the_training_comes_to_the_target_and_lowers_the_loss() -> None:
    """On a random model: the expected size is the wanted one, and its circuit beats those of random rankings."""
    problem = problem_of("gpt2")
    graph = problem.model.graph
    found = edge_pruning(problem, sparsity=0.6, steps=300, batch_size=4, patience=None)
    assert found.guarantees["target_met"] and found.cost["steps"] == 300
    expected = float(p_open(found.scores[graph.edges_mask].logit()).sum())
    assert expected == pytest.approx(0.4 * graph.n_edges, abs=0.01 * graph.n_edges)
    loss = problem.objective.loss(problem.logits(found.mask)).item()
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        ranking = torch.rand(found.scores.shape, generator=generator)
        random = take(graph, ranked_edges(graph, ranking, signed=False), int(found.mask.sum())).mask
        assert problem.objective.loss(problem.logits(random)).item() > loss


def test_gates_of_nodes_close_nodes() -> None:
    problem = problem_of("gpt2")
    found = edge_pruning(problem, sparsity=0.8, node_sparsity=0.5, steps=300, batch_size=4, patience=None)
    assert found.guarantees["target_met"]
    gates = EdgeGates(problem.model.graph, with_nodes=True)
    log_alpha = torch.linspace(-4, 4, gates.n, dtype=torch.float64)
    edges = torch.zeros(problem.model.graph.edges_mask.shape, dtype=torch.float64)
    edges[problem.model.graph.edges_mask] = log_alpha[: -problem.model.graph.n_src].sigmoid()
    p = edges * log_alpha[-problem.model.graph.n_src :].sigmoid()[:, None]
    torch.testing.assert_close(gates.weights(log_alpha.sigmoid()), p)
    torch.testing.assert_close(gates.log_odds(log_alpha).nan_to_num(0), (p / (1 - p)).log().nan_to_num(neginf=0))
    torch.testing.assert_close(
        gates.open(log_alpha.sigmoid()), torch.stack([p.sum(), log_alpha.sigmoid()[-problem.model.graph.n_src :].sum()])
    )


def test_one_seed_gives_one_circuit_and_another_seed_other_draws() -> None:
    problem = problem_of("llama-gqa")
    first, again, other = (
        edge_pruning(each, n_edges=20, **QUICK) for each in (problem, problem, replace(problem, seed=6))
    )
    assert torch.equal(first.mask, again.mask)
    assert torch.equal(first.scores.nan_to_num(9), again.scores.nan_to_num(9)), "bit for bit"
    assert not torch.equal(first.scores.nan_to_num(9), other.scores.nan_to_num(9))


@pytest.mark.parametrize("metric", ["kl", "logit_diff", "prob_diff", "nll"])
def test_memory_changes_no_score_with_any_metric(metric: str) -> None:
    problem = problem_of("llama-gqa", metric)
    whole, small = (edge_pruning(problem, n_edges=20, memory=memory, **QUICK) for memory in (2**30, 1))
    torch.testing.assert_close(whole.scores, small.scores, atol=1e-9, rtol=0, equal_nan=True)
    assert small.cost["forward_passes"] == 2 * whole.cost["forward_passes"]
    assert small.cost["backward_passes"] == whole.cost["backward_passes"] == 12


SIZES = {"edges": {"n_edges": 20}, "nodes": {"sparsity": 0.8, "node_sparsity": 0.5}}


@functools.cache
def never_stopped(size: str) -> tuple[DiscoveryResult, Memory]:
    whole = Memory()
    return edge_pruning(problem_of("gpt2"), checkpoint=whole, steps=60, batch_size=2, **SIZES[size]), whole


@pytest.mark.parametrize(("size", "stop"), covering(SIZES, [0, 1, 3]))
def test_a_stopped_search_goes_on_to_the_same_circuit(size: str, stop: int) -> None:
    problem, options, (expected, whole) = problem_of("gpt2"), SIZES[size], never_stopped(size)
    stopped = Memory(room=stop)
    with pytest.raises(KeyboardInterrupt):
        edge_pruning(problem, checkpoint=stopped, steps=60, batch_size=2, **options)
    steps: list[Progress] = []
    resumed = Memory(recorded=deque(stopped.written))
    found = edge_pruning(problem, checkpoint=resumed, progress=steps.append, steps=60, batch_size=2, **options)
    assert isinstance(found, DiscoveryResult)
    assert torch.equal(found.mask, expected.mask)
    assert torch.equal(found.scores.nan_to_num(9), expected.scores.nan_to_num(9)), "bit for bit"
    assert found.cost == expected.cost and found.guarantees == expected.guarantees
    assert stopped.written + resumed.written == whole.written
    assert steps[0].done == 3 * stop + 1, "no step is taken twice but those since the last state"


def test_a_state_of_another_training_is_left_alone() -> None:
    whole, other = Memory(), Memory()
    expected = edge_pruning(problem_of("gpt2"), checkpoint=whole, **QUICK)
    edge_pruning(problem_of("llama-gqa"), checkpoint=other, **QUICK)
    other = Memory(recorded=deque(other.written))
    found = edge_pruning(problem_of("gpt2"), checkpoint=other, **QUICK)
    assert torch.equal(found.mask, expected.mask)
    assert torch.equal(found.scores.nan_to_num(), expected.scores.nan_to_num())
    assert other.written == whole.written, "all of it is done again"


def test_training_stops_early_where_nothing_is_gained() -> None:
    problem = problem_of("gpt2")
    patient = edge_pruning(problem, sparsity=0.0, warmup=0.1, patience=None, **QUICK)
    hasty = edge_pruning(problem, sparsity=0.0, warmup=0.1, patience=2, **QUICK)
    assert hasty.cost["steps"] < patient.cost["steps"] == QUICK["steps"]


def test_every_prompt_is_taken_once_before_any_is_taken_again() -> None:
    pieces = [_rows(11, 4, 3, step) for step in range(6)]
    assert all(len(piece) <= 4 for piece in pieces)
    for epoch in (pieces[:3], pieces[3:]):
        assert torch.cat(epoch).sort().values.tolist() == list(range(11))
    assert not all(torch.equal(a, b) for a, b in zip(pieces[:3], pieces[3:], strict=True))


@pytest.mark.slow
def test_kl_is_matched_by_being_low_and_a_difference_of_logits_is_not() -> None:
    low, matched = (edge_pruning(problem_of("gpt2"), n_edges=20, match=match, **QUICK) for match in (False, True))
    assert torch.equal(low.scores.nan_to_num(), matched.scores.nan_to_num())
    problem = problem_of("gpt2", "logit_diff")
    high, near = (edge_pruning(problem, n_edges=40, steps=150, match=match) for match in (False, True))
    apart = [abs(problem.loss(problem.logits(found.mask)) - problem.model_loss) for found in (high, near)]
    assert problem.loss(problem.logits(high.mask)) < problem.model_loss, "it overshoots"
    assert apart[1] < apart[0]


def test_the_rank_decides_and_nothing_is_wasted_on_dangling_edges() -> None:
    graph = Graph(1, 1, 4)
    names = ["a0.h0->m0", "input->a0.h0<v>", "m0->logits", "a0.h0->logits", "input->m0", "input->a0.h0<q>"]
    scores = torch.full(graph.edges_mask.shape, -9.0)
    for rank, name in enumerate(names):
        scores[graph.parse_edge(name)] = -float(rank)

    def taken(n: int) -> set[str]:
        return set(graph.edge_names(take(graph, ranked_edges(graph, scores, signed=True), n).mask))

    assert taken(3) == set(names[:3]), "three make a path at once"
    assert taken(1) == {"input->logits"} and taken(2) == {"input->a0.h0<v>", "a0.h0->logits"}
    assert taken(5) == set(names[:5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 0.5, "n_edges": 3}, "not both"),
        ({"sparsity": 1.0}, "sparsity must be a number of at least 0 and less than 1"),
        ({"sparsity": -0.1}, "sparsity must be a number of at least 0"),
        ({"n_edges": 0}, "n_edges must be between 1 and the model's"),
        ({"n_edges": 10**6}, "n_edges must be between 1 and the model's"),
        ({"node_sparsity": 1.5}, "node_sparsity must be a number of at least 0 and less than 1"),
        ({"warmup": 1.0}, "warmup must be a number of at least 0 and less than 1"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"memory": 0}, "memory must be a whole number of at least 1"),
        ({"lr": math.inf}, "lr must be a finite number"),
        ({"multiplier_lr": 0.0}, "multiplier_lr must be a number of more than 0"),
        ({"patience": 0}, "patience must be a whole number of at least 1"),
        ({"start": "eapp"}, "unknown scorer 'eapp'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ACDCError, match=message):
        edge_pruning(problem_of("gpt2"), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "no/such/run"}, "no run or circuit at no/such/run"),
        ({"start_sparsity": 1.0}, "start_sparsity must be"),
    ],
)
def test_a_start_that_can_not_be_one_is_refused_before_anything_is_loaded(options: dict, message: str) -> None:
    with pytest.raises(ACDCError, match=message):
        check_options(METHOD, options)
