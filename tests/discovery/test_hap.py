"""HAP: whatever it starts from, what it returns is minimal by the oracle, and a stopped search goes on to it."""

from collections import deque
from pathlib import Path

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.discovery import blocks
from acdc.discovery import hap as module
from acdc.discovery.acdc import acdc
from acdc.discovery.hap import hap
from acdc.discovery.method import check_options
from acdc.errors import ACDCError
from acdc.patching.ablation import ABLATIONS
from acdc.patching.weighted import weighted_logits
from tests.discovery.test_acdc import Memory, problem_of
from tests.oracle import naive_logits


@pytest.fixture(autouse=True)
def blocks_of_few_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that tiny models have several."""
    monkeypatch.setattr(blocks, "SMALLEST", 2)


def loss_of(problem, mask: torch.Tensor) -> float:
    return problem.objective.loss(naive_logits(problem.model, problem.batch, problem.ablated.outputs, mask)).item()


def without(mask: torch.Tensor, *edges: list[int]) -> torch.Tensor:
    trial = mask.clone()
    trial[tuple(zip(*edges, strict=True))] = False
    return trial


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "neox-parallel"])
def test_the_circuit_is_minimal_by_the_oracle(family: str, ablation: str) -> None:
    problem = problem_of(family, ablation=ablation)
    found = hap(problem, tau=0.02, faithfulness=0.9)
    assert found.guarantees["minimal_at_tau"] and 0 < found.mask.sum() < problem.model.graph.n_edges
    assert torch.equal(found.mask, problem.prune(found.mask))
    loss = loss_of(problem, found.mask)
    for edge in found.mask.nonzero().tolist():
        rise = loss_of(problem, without(found.mask, edge)) - loss
        assert rise >= 0.02 - 1e-7
        assert found.scores[tuple(edge)].item() == pytest.approx(rise, abs=1e-7)


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa"])
def test_without_a_choice_and_without_blocks_it_is_acdc(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SMALLEST", 10**9)
    problem = problem_of(family)
    found, expected = hap(problem, tau=0.05, faithfulness=1.0), acdc(problem, tau=0.05, sweeps=0)
    assert found.diagnostics["started_from"] == problem.model.graph.n_edges, "else the test tests nothing"
    assert torch.equal(found.mask, expected.mask)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-9, rtol=0, equal_nan=True)


def test_every_block_that_is_removed_costs_less_than_tau(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the oracle: the circuits of the blocks, one after another."""
    problem, tried, measure = problem_of("gpt2"), list[torch.Tensor](), blocks.Blocks._loss
    monkeypatch.setattr(blocks.Blocks, "_loss", lambda self, mask: tried.append(mask) or measure(self, mask))
    found = hap(problem, tau=0.02, faithfulness=1.0, sweeps=1)
    assert len(tried) == found.cost["blocks"]
    kept = [tried[0]]
    for mask in tried[1:]:
        if loss_of(problem, mask) - loss_of(problem, kept[-1]) < 0.02:
            kept.append(mask)
    assert 1 < len(kept) < len(tried), "blocks that are removed, and blocks that are not"
    assert found.diagnostics["left_by_blocks"] == int(kept[-1].sum())
    assert not (found.mask & ~kept[-1]).any()


def test_it_starts_from_a_saved_circuit(tmp_path: Path) -> None:
    problem = problem_of("gpt2")
    graph, wide = problem.model.graph, acdc(problem, tau=0.002)
    Circuit(graph, wide.mask, wide.scores, {}, "effect").save(tmp_path / "circuit.json")
    found = hap(problem, tau=0.01, start=str(tmp_path / "circuit.json"))
    assert found.diagnostics["started_from"] == int(wide.mask.sum()) and "backward_passes" in found.cost
    assert not (found.mask & ~wide.mask).any() and found.guarantees["minimal_at_tau"]
    assert 0 < found.mask.sum() < wide.mask.sum()


@pytest.mark.parametrize("stop", [0, 1, 2, 4, 9])
def test_a_stopped_search_goes_on_to_the_same_circuit(stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, whole = problem_of("gpt2"), Memory()
    expected = hap(problem, tau=0.01, checkpoint=whole)
    stopped = Memory(room=stop)
    with pytest.raises(KeyboardInterrupt):
        hap(problem, tau=0.01, checkpoint=stopped)
    resumed = Memory(recorded=deque(stopped.written))
    if stop:
        monkeypatch.setattr(module, "get_scorer", None)  # nothing is scored again
    found = hap(problem, tau=0.01, checkpoint=resumed)
    assert torch.equal(found.mask, expected.mask) and found.cost == expected.cost
    assert torch.equal(found.scores.nan_to_num(9), expected.scores.nan_to_num(9)), "bit for bit"
    assert stopped.written + resumed.written == whole.written, "nothing is measured twice"


@pytest.mark.parametrize(
    "start", [[], [1.0, 2.0], [1.0, 0.0, 0.5], [1.0, 0.0, 1e9], [1.0, 0.0, -1.0], [1.0, 0.0, 0.0, 0.0]]
)
def test_a_recorded_start_that_can_not_be_one_is_forgotten(start: list[float]) -> None:
    problem = problem_of("gpt2")
    memory = Memory(recorded=deque([start, [0.25]]))
    assert torch.equal(hap(problem, tau=0.05, checkpoint=memory).mask, hap(problem, tau=0.05).mask)
    assert memory.rejected == 1


def test_bad_options_are_refused(tmp_path: Path) -> None:
    problem = problem_of("gpt2")
    graph = problem.model.graph
    Circuit(graph, graph.edges_mask & False).save(tmp_path / "empty.json")
    with pytest.raises(ACDCError, match="no edges, so none can be removed"):
        hap(problem, start=str(tmp_path / "empty.json"))
    with pytest.raises(ACDCError, match=r"nothing\.json"):
        hap(problem, start=str(tmp_path / "nothing.json"))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("tau", -1.0, "tau must be a number of at least 0"),
        ("faithfulness", 0.0, "faithfulness must be a number of more than 0"),
        ("scorer", "eap-if-inputs", "unknown scorer 'eap-if-inputs': did you mean 'eap-ig-inputs'"),
        ("senders", "sideways", "unknown order"),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: object, message: str) -> None:
    with pytest.raises(ACDCError, match=message):
        check_options(module.METHOD, {option: value})


def test_slopes_are_what_removing_an_edge_does_to_first_order() -> None:
    """In a circuit, by a millionth of the edge."""
    problem = problem_of("gpt2", "logit_diff")
    mask = acdc(problem, tau=0.02).mask
    slopes, step = blocks.Blocks(problem, lambda rise: False, None, None)._slopes(mask), 1e-6
    for edge in mask.nonzero().tolist()[::5]:
        less, more = mask.double(), mask.double()
        less[tuple(edge)], more[tuple(edge)] = 1 - step, 1 + step
        rise = problem.objective.loss(loss_logits(problem, less)) - problem.objective.loss(loss_logits(problem, more))
        assert slopes[tuple(edge)].item() == pytest.approx(rise.item() / (2 * step), abs=1e-6)


def loss_logits(problem, weights: torch.Tensor) -> torch.Tensor:
    logits = weighted_logits(problem.masked, weights)
    return logits if problem.objective.tokens is None else logits[:, problem.objective.tokens]
