"""HAP: whatever it starts from, what it returns is minimal by the oracle, and a stopped search goes on to it."""

from collections import deque
from pathlib import Path

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.discovery import blocks
from acdc.discovery import hap as module
from acdc.discovery.acdc import acdc
from acdc.discovery.attribution.scorers import get_scorer
from acdc.discovery.hap import hap
from acdc.discovery.method import check_options
from acdc.discovery.order import edge_order
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.selection.by_faithfulness import by_faithfulness
from acdc.discovery.selection.candidates import Candidates
from acdc.errors import ACDCError
from acdc.patching.ablations import ABLATIONS
from tests.cases import covering
from tests.discovery.test_acdc import Memory, problem_of
from tests.oracle import naive_logits


def loss_of(problem, mask: torch.Tensor) -> float:
    return problem.objective.loss(naive_logits(problem.model, problem.batch, problem.ablated.outputs, mask)).item()


def without(mask: torch.Tensor, *edges: list[int]) -> torch.Tensor:
    trial = mask.clone()
    trial[tuple(zip(*edges, strict=True))] = False
    return trial


@pytest.mark.parametrize(("family", "ablation"), covering(["gpt2", "llama-gqa", "neox-parallel"], ABLATIONS))
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
def test_where_no_block_can_be_removed_it_is_acdc(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks.Blocks, "remove", lambda self, weakest_first: None)
    problem = problem_of(family)
    found, expected = hap(problem, tau=0.05), acdc(problem, tau=0.05, sweeps=0)
    assert found.diagnostics["started_from"] == problem.model.graph.n_edges, "else the test tests nothing"
    assert torch.equal(found.mask, expected.mask)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-9, rtol=0, equal_nan=True)


@pytest.mark.parametrize(("family", "start"), covering(["gpt2", "llama-gqa", "gemma2", "neox-parallel"], [1.0, 0.9]))
def test_blocks_are_those_that_the_oracle_removes(family: str, start: float) -> None:
    """By masked passes: each destination's edges, the weakest first, the largest block that costs less than tau."""
    problem, asked = problem_of(family), list[tuple[int, int]]()
    found = hap(problem, tau=0.02, faithfulness=start)
    first = _start_of(problem, start)
    mask, order = first.clone(), by_destination(problem, first)
    for dst, sources in order.items():
        mask = removed_in_blocks(problem, mask, dst, sources, asked)
    assert found.diagnostics["left_by_blocks"] == int(mask.sum())
    assert found.cost["blocks"] == len(asked) > len(order) // 2
    assert not (found.mask & ~mask).any() and mask.sum() < first.sum()


def _start_of(problem, share: float) -> torch.Tensor:
    whole = problem.model.graph.edges_mask
    if share == 1:
        return whole
    scores = get_scorer("eap-ig-inputs")(problem).scores
    return problem.prune(by_faithfulness(Candidates(problem, scores, whole), faithfulness=share).mask)


def by_destination(problem, mask: torch.Tensor) -> dict[int, list[int]]:
    scores = get_scorer("eap-ig-inputs")(problem).scores.abs()
    order = dict.fromkeys(dst for _, dst in edge_order(problem.model.graph))
    return {
        dst: sorted(mask[:, dst].nonzero()[:, 0].tolist(), key=lambda src: scores[src, dst].item()) for dst in order
    }


def removed_in_blocks(problem, mask: torch.Tensor, dst: int, sources: list[int], asked: list) -> torch.Tensor:
    """What is left of a mask; `asked` takes the blocks that were measured."""
    node = problem.model.graph.src_of_dst[dst]
    if node is not None and not mask[node].any():
        return without(mask, *[[src, dst] for src in sources]) if sources else mask
    sizes = {len(sources) // part for part in (1, 2, 4, 16, 64)}
    while sources:
        tried = sorted({min(size, len(sources)) for size in sizes if size}, reverse=True)
        loss = problem.loss(problem.logits(mask))
        asked += [(dst, size) for size in tried]
        trials = {size: without(mask, *[[src, dst] for src in sources[:size]]) for size in tried}
        fits = [size for size in tried if problem.loss(problem.logits(trials[size])) - loss < 0.02]
        if fits:
            mask, sources = trials[fits[0]], sources[fits[0] :]
            sizes = {4 * fits[0], 2 * fits[0], fits[0], fits[0] // 2}
        elif tried[-1] == 1:
            sources, sizes = sources[1:], {1, 2, 4}
        else:
            sizes = {tried[-1] // 2, tried[-1] // 4, tried[-1] // 16, 1}
    return mask


def test_little_memory_changes_how_many_blocks_are_measured_at_once_and_no_guarantee() -> None:
    problem = problem_of("gpt2")
    found = hap(problem, tau=0.02, memory=1)
    assert found.guarantees["minimal_at_tau"] and 0 < found.mask.sum() < problem.model.graph.n_edges


def test_it_starts_from_a_saved_circuit(tmp_path: Path) -> None:
    problem = problem_of("gpt2")
    graph, wide = problem.model.graph, acdc(problem, tau=0.002)
    Circuit(graph, wide.mask, wide.scores, {}, "effect").save(tmp_path / "circuit.json")
    found = hap(problem, tau=0.01, start=str(tmp_path / "circuit.json"))
    assert found.diagnostics["started_from"] == int(wide.mask.sum()) and "backward_passes" in found.cost
    assert not (found.mask & ~wide.mask).any() and found.guarantees["minimal_at_tau"]
    assert 0 < found.mask.sum() < wide.mask.sum()


@pytest.fixture(scope="module")
def never_stopped() -> tuple[DiscoveryResult, Memory]:
    whole = Memory()
    return hap(problem_of("gpt2"), tau=0.01, checkpoint=whole), whole


@pytest.mark.parametrize("stop", [0, 1, 2, 4, 9])
def test_a_stopped_search_goes_on_to_the_same_circuit(
    stop: int, never_stopped: tuple[DiscoveryResult, Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, (expected, whole) = problem_of("gpt2"), never_stopped
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
