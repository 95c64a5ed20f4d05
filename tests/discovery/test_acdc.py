"""ACDC on the exact engine decides as the naive engine does, edge for edge, in float64."""

import functools
import math
from collections import deque
from dataclasses import dataclass, field

import pytest
import torch
from safetensors.torch import load, save

from acdc.discovery.acdc import acdc
from acdc.discovery.order import ORDERS, edge_order
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.tau import threshold
from acdc.errors import ACDCError
from acdc.metrics import METRICS
from acdc.models import PatchableModel
from acdc.patching.ablations import ABLATIONS
from acdc.patching.problem import Problem
from acdc.task import load_task
from tests.cases import covering
from tests.configs import ONE_EACH
from tests.oracle import naive_acdc, naive_logits
from tests.tiny import tiny_batch, tiny_model


@functools.cache
def problem_of(family: str, metric: str = "kl", ablation: str = "corrupt") -> Problem:
    batch = tiny_batch(lengths=(6, 6, 8, 8)) if ablation == "resample" else tiny_batch()
    return Problem.make(tiny_model(family), batch, metric=metric, ablation=ablation, seed=5)


def assert_like_oracle(problem: Problem, tau: float, *, speculation: int | None = None, **options) -> None:
    """The same mask, and the same change of the loss at every edge that either tried."""
    orders = {name: options.pop(name) for name in ("senders", "heads") if name in options}
    order = edge_order(problem.model.graph, seed=problem.seed, **orders)
    metric, ablated = problem.objective.metric, problem.ablated.outputs
    mask, changes = naive_acdc(problem.model, problem.batch, ablated, metric, tau, order=order, **options)
    found = acdc(problem, tau=tau, prune=False, speculation=speculation, **orders, **options)
    assert torch.equal(mask, found.mask)
    for edge, change in changes.items():
        assert found.scores[edge].item() == pytest.approx(change, abs=1e-7)
    kept = int(mask.sum())
    assert 0.05 * len(changes) < kept < 0.95 * len(changes), f"{kept} of {len(changes)} kept: that tests little"


@pytest.mark.parametrize("family", ONE_EACH)
def test_every_family_equals_the_oracle(family: str) -> None:
    assert_like_oracle(problem_of(family), tau=0.03)


@pytest.mark.slow
def test_the_trained_model_equals_the_oracle() -> None:
    model = PatchableModel.from_pretrained("acdc-small", dtype="float64")
    assert_like_oracle(Problem.make(model, load_task("ioi").batch(model.tokenizer, 3, 0)), tau=0.01)


@pytest.mark.parametrize("tau", [1e-3, 1e-2, 4e-2])
@pytest.mark.parametrize("family", ["gpt2", "qwen2-window"])
def test_every_tau_equals_the_oracle(family: str, tau: float) -> None:
    assert_like_oracle(problem_of(family), tau=tau)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_equals_the_oracle(metric: str, absolute: bool) -> None:
    assert_like_oracle(
        problem_of("gpt2-untied", metric), tau=0.0003 if metric == "prob_diff" else 0.02, absolute=absolute
    )


@pytest.mark.parametrize("ablation", ["zero", "mean-all", "mean-positional", "optimal", "noise", "resample"])
def test_every_ablation_equals_the_oracle(ablation: str) -> None:
    assert_like_oracle(problem_of("llama-gqa", ablation=ablation), tau=0.02)


@pytest.mark.parametrize("speculation", [1, 2, 7, 1000])
def test_every_speculation_width_equals_the_oracle(speculation: int) -> None:
    assert_like_oracle(problem_of("neox-parallel"), tau=0.02, speculation=speculation)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_equals_the_oracle(order: str) -> None:
    assert_like_oracle(problem_of("gpt2"), tau=0.03, senders=order)
    assert_like_oracle(problem_of("gpt2"), tau=0.03, heads=order)


@pytest.mark.parametrize("family", ["llama", "mistral-window"])
def test_sweeps_equal_the_oracle(family: str) -> None:
    assert_like_oracle(problem_of(family), tau=0.05, sweeps=3)


def test_no_speculation_width_and_no_memory_changes_the_circuit() -> None:
    problem = problem_of("llama-gqa")
    plain = acdc(problem, tau=0.01, speculation=1, sweeps=2)
    for options in ({"speculation": 5}, {"speculation": None}, {"memory": 1}, {"memory": 10**5}):
        found = acdc(problem, tau=0.01, sweeps=2, **options)
        assert torch.equal(found.mask, plain.mask)
        torch.testing.assert_close(found.scores, plain.scores, atol=1e-10, rtol=0, equal_nan=True)


@pytest.mark.parametrize("tau", [0.0, 100.0])
def test_decisions_that_are_all_alike_are_made_many_at_a_time(tau: float) -> None:
    """Where every edge stays as well as where every edge goes: most propagations decide several."""
    cost = acdc(problem_of("gpt2"), tau=tau).cost
    assert cost["candidates"] >= 10
    assert cost["propagations"] < cost["candidates"] / 2
    assert cost["forward_passes"] < 2 * cost["candidates"]


def test_a_circuit_called_minimal_is_minimal() -> None:
    problem = problem_of("gpt2")
    found = acdc(problem, tau=0.05, sweeps=0, prune=False)
    assert found.guarantees["minimal_at_tau"]
    loss = problem.objective.loss(problem.logits(found.mask)).item()
    for edge in found.mask.nonzero().tolist():
        trial = found.mask.clone()
        trial[tuple(edge)] = False
        rise = problem.objective.loss(problem.logits(trial)).item() - loss
        assert rise >= 0.05
        assert found.scores[tuple(edge)].item() == pytest.approx(rise, abs=1e-9)


SEARCHES = [("gpt2", 0.1), ("gpt2", 0.3), ("llama-gqa", 0.1), ("neox-parallel", 0.3)]


@pytest.mark.parametrize(("search", "ablation"), covering(SEARCHES, ABLATIONS))
def test_pruning_changes_no_loss_and_no_claim_under_any_ablation(search: tuple[str, float], ablation: str) -> None:
    """Where ablated outputs are not one run's, a node without live inputs carries a signal and is not pruned."""
    family, tau = search
    problem = problem_of(family, ablation=ablation)
    graph, arguments = problem.model.graph, (problem.model, problem.batch, problem.ablated.outputs)
    order = edge_order(graph, seed=problem.seed)
    searched, _ = naive_acdc(*arguments, problem.objective.metric, tau, order=order, sweeps=9)
    found = acdc(problem, tau=tau, sweeps=0)

    def loss(mask: torch.Tensor) -> float:
        return problem.objective.loss(naive_logits(*arguments, mask)).item()

    assert torch.equal(found.mask, problem.prune(searched))
    assert loss(found.mask) == pytest.approx(loss(searched), abs=1e-9)
    assert found.guarantees["minimal_at_tau"]
    for edge in found.mask.nonzero().tolist():
        trial = found.mask.clone()
        trial[tuple(edge)] = False
        assert loss(trial) - loss(found.mask) >= tau - 1e-9


def test_a_share_of_the_whole_effect_is_that_number() -> None:
    problem = problem_of("llama-gqa", "logit_diff")
    nothing = problem.logits(problem.model.graph.edges_mask & False)
    effect = problem.loss(nothing) - problem.loss(problem.clean.logits)
    assert effect > 0, "else the test tests nothing"
    shared, plain = acdc(problem, tau="10%"), acdc(problem, tau=0.1 * effect)
    assert torch.equal(shared.mask, plain.mask)
    assert shared.resolved == {"tau": pytest.approx(0.1 * effect)} and plain.resolved == {}
    assert shared.diagnostics["whole_effect"] == plain.diagnostics["whole_effect"] == pytest.approx(effect)


def test_a_tau_above_the_whole_effect_is_told_before_the_search(caplog: pytest.LogCaptureFixture) -> None:
    problem, steps = problem_of("llama-gqa", "logit_diff"), []
    found = acdc(problem, tau=50.0, progress=lambda step: steps.append(len(caplog.records)))
    assert steps[0] == 1, "before the first edge was tried"
    assert caplog.messages == [found.warnings[0]]
    assert found.warnings[0].startswith("tau 50 is above the whole effect of removing every edge, ")
    assert "it is empty; take a tau below 50" in found.warnings[1]
    assert acdc(problem, tau=0.2).warnings == ()


def test_no_effect_at_all_is_told_and_has_no_share() -> None:
    problem = problem_of("gpt2", "nll")
    assert threshold(problem, 0.0).whole_effect < 0, "else the test tests nothing"
    assert "nll gets no worse with every edge removed" in acdc(problem, tau=0.1).warnings[0]
    with pytest.raises(ACDCError, match="tau 5% is a share of the whole effect, but nll gets no worse"):
        acdc(problem, tau="5%")


def test_one_sweep_does_not_claim_minimality() -> None:
    assert not acdc(problem_of("gpt2"), tau=0.05).guarantees["minimal_at_tau"]


def test_pruning_leaves_only_paths_from_input_to_logits() -> None:
    problem = problem_of("gpt2", "logit_diff")
    found, whole = (acdc(problem, tau=0.1, prune=prune) for prune in (True, False))
    assert torch.equal(found.mask, problem.model.graph.prune(whole.mask))


def test_nothing_of_the_problem_is_changed() -> None:
    problem = Problem.make(tiny_model("llama-gqa"), tiny_batch())
    tensors = [problem.clean.final, *problem.clean.outputs.z, *problem.ablated.outputs.mlp, *problem.clean.k]
    tensors += list(problem.model.hf.parameters())
    before = [tensor.clone() for tensor in tensors]
    acdc(problem, tau=0.01, sweeps=2)
    assert all(torch.equal(old, new) for old, new in zip(before, tensors, strict=True))


@dataclass
class Memory:
    """A checkpoint that stops the search when it is full."""

    room: float = math.inf
    recorded: deque = field(default_factory=deque)
    written: list = field(default_factory=list)
    rejected: int = 0

    def next(self) -> list[float] | None:
        return self.recorded.popleft() if self.recorded else None

    def append(self, values: list[float]) -> None:
        if len(self.written) >= self.room:
            raise KeyboardInterrupt
        self.written.append(values)

    def reject(self) -> None:
        self.recorded.clear()
        self.rejected += 1

    def keep(self, state: dict[str, torch.Tensor]) -> None:
        self.append(save(state))

    def load(self) -> dict[str, torch.Tensor] | None:
        return load(self.recorded[-1]) if self.recorded else None


@pytest.fixture(scope="module")
def never_stopped() -> tuple[DiscoveryResult, Memory]:
    whole = Memory()
    return acdc(problem_of("gpt2"), tau=0.01, sweeps=2, checkpoint=whole), whole


@pytest.mark.parametrize("stop", [0, 1, 5])
def test_a_stopped_search_goes_on_to_the_same_circuit(stop: int, never_stopped: tuple[DiscoveryResult, Memory]) -> None:
    problem, (expected, whole) = problem_of("gpt2"), never_stopped
    stopped = Memory(room=stop)
    with pytest.raises(KeyboardInterrupt):
        acdc(problem, tau=0.01, sweeps=2, checkpoint=stopped)
    resumed = Memory(recorded=deque(stopped.written))
    found = acdc(problem, tau=0.01, sweeps=2, checkpoint=resumed)
    assert torch.equal(found.mask, expected.mask)
    assert torch.equal(found.scores.nan_to_num(9), expected.scores.nan_to_num(9)), "bit for bit"
    assert stopped.written + resumed.written == whole.written, "nothing is measured twice"
    assert isinstance(found, DiscoveryResult) and not resumed.rejected


def test_values_that_do_not_fit_are_measured_again() -> None:
    problem, whole = problem_of("gpt2"), Memory()
    expected = acdc(problem, tau=0.01, checkpoint=whole)
    foreign = Memory(recorded=deque([*whole.written[:3], [0.5] * 99, *whole.written[4:]]))
    found = acdc(problem, tau=0.01, checkpoint=foreign)
    assert torch.equal(found.mask, expected.mask) and foreign.rejected == 1
    assert foreign.written == whole.written[3:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": -0.1}, "tau must be a number of at least 0"),
        ({"tau": math.inf}, "tau must be a finite number"),
        ({"tau": math.nan}, "tau must be a finite number"),
        ({"tau": "5"}, "a share of the whole effect from 0% to 100%, like 5%, not '5'"),
        ({"tau": "101%"}, "a share of the whole effect from 0% to 100%"),
        ({"sweeps": -1}, "sweeps must be 0"),
        ({"speculation": 0}, "speculation must be at least 1"),
        ({"memory": 0}, "memory must be a positive number"),
        ({"senders": "late"}, "did you mean 'late-first'"),
        ({"heads": "sideways"}, "unknown order of heads"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ACDCError, match=message):
        acdc(problem_of("gpt2"), **options)
