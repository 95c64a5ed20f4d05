"""What a run holds is counted before it starts: never too low, and not far above; too much is refused."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import pytest
import torch
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.discovery import METHODS
from acdc.errors import ModelError
from acdc.models import PatchableModel
from acdc.models.components import ModelComponents
from acdc.models.memory import PROGRAM, held_bytes
from acdc.patching import footprint as counted
from acdc.patching.exact.state import CircuitState
from acdc.patching.footprint import Sizes, check_footprint, footprint, masked_bytes
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch
from tests.tiny import tiny_batch, tiny_model

FAMILIES = ["gpt2", "llama-gqa", "neox-parallel", "gemma2"]
NOT_COUNTED = (PatchableModel, ModelComponents, PromptBatch, Graph)


def tensors_of(thing: object) -> Iterator[Tensor]:
    """All tensors below something."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, dict):
        yield from (tensor for value in thing.values() for tensor in tensors_of(value))
    elif isinstance(thing, list | tuple):
        yield from (tensor for value in thing for tensor in tensors_of(value))
    elif is_dataclass(thing) and not isinstance(thing, NOT_COUNTED):
        yield from (tensor for field in fields(thing) for tensor in tensors_of(getattr(thing, field.name)))


def bytes_of(*things: object, without: object = None) -> int:
    """Bytes of all tensors below some things, each storage once, but for those below another."""
    own, known = (
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors_of(x)} for x in (things, without)
    )
    return sum(size for place, size in own.items() if place not in known)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_part_of_the_estimate_is_what_is_held(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch(n=8, lengths=(9, 9, 8, 9), shared=0)
    problem, sizes = Problem.make(model, batch, ablation="zero"), Sizes.of(model, batch)
    runs = (problem.clean, problem.ablated.outputs)
    assert 0.6 * footprint(sizes).runs < bytes_of(*runs) <= footprint(sizes).runs
    state = CircuitState(problem)
    on_state = bytes_of(state.cache.out, state.cache.ablated, state.cache.projected, state.cache.prefix, without=runs)
    on_state += bytes_of(state.cache.resid_pre, state.cache.resid_mid, without=runs)
    assert 0.6 * sizes.held(5, 0, 4, once=2) < on_state <= sizes.held(5, 0, 4, once=2)
    problem.logits(model.graph.edges_mask)
    background = bytes_of(problem.masked.background, without=runs)
    assert 0.6 * sizes.held(2, 2, 3, once=2) < background <= sizes.held(2, 2, 3, once=2)
    changes, width = bytes_of(problem.masked.scratch._held), batch.n * sizes.n_pos * model.graph.d_model * 8
    below = model.graph.head_src(model.graph.n_layers - 1)  # the last layer's sources are read at last positions alone
    assert below * width < changes <= batch.n * masked_bytes(model.graph, sizes.n_pos, 8)


def test_weights_are_counted_once_where_they_are_tied() -> None:
    hf = tiny_model("gpt2").hf
    assert hf.lm_head.weight is hf.transformer.wte.weight
    assert held_bytes(hf, torch.device("cpu")) == sum(t.numel() * t.itemsize for t in (*hf.parameters(), *hf.buffers()))
    assert held_bytes(hf, torch.device("meta")) == 0


def test_the_parts_add_up_and_grow_with_prompts() -> None:
    sizes = Sizes.of(tiny_model("gpt2"), tiny_batch())
    small, large = (footprint(replace(sizes, n=n), ("gradient",)) for n in (4, 400))
    assert small.total == PROGRAM + sizes.weights + small.runs + small.scores + max(small.search, small.measuring)
    assert large.runs == 100 * small.runs and large.weights == small.weights and large.measuring > small.measuring
    assert footprint(replace(sizes, on_cpu=False)).program == 0


def test_a_smaller_memory_takes_fewer_prompts_at_once() -> None:
    sizes = replace(Sizes.of(tiny_model("gpt2"), tiny_batch()), n=100)
    whole, little = (footprint(sizes, ("gradient", "weighted"), memory) for memory in (None, 200_000))
    assert whole.prompts_at_once == (100, 100) and all(1 <= n < 100 for n in little.prompts_at_once)
    assert little.total < whole.total


def test_a_run_that_does_not_fit_says_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny_model("gpt2"), tiny_batch(n=8)
    needed = footprint(Sizes.of(model, batch), ("gradient",)).total
    monkeypatch.setattr(counted, "free_bytes", lambda device, own: needed - 1)
    with pytest.raises(
        ModelError, match=r"on 8 prompts takes about .* at the peak \(program .* use at most [1-7] prompt"
    ) as error:
        check_footprint(model, batch, ("gradient",))
    for advice in ("--n", "--memory than 256 MiB", "--dtype bfloat16", "--offload"):
        assert advice in str(error.value)
    monkeypatch.setattr(counted, "free_bytes", lambda device, own: 1)
    with pytest.raises(ModelError, match="use shorter prompts"):
        Problem.make(model, batch)


def test_where_nothing_tells_how_much_is_free_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "free_bytes", lambda device, own: None)
    check_footprint(tiny_model("gpt2"), tiny_batch(), ("evaluation",))


def test_a_problem_s_memory_is_that_of_its_engines() -> None:
    problem = Problem.make(tiny_model("gpt2"), tiny_batch(), memory=1000)
    assert problem.masked.memory == problem.step_memory == CircuitState(problem).memory == 1000
    assert CircuitState(problem, memory=7).memory == 7


def test_every_method_names_engines_that_are_counted() -> None:
    sizes = Sizes.of(tiny_model("gpt2"), tiny_batch())
    for method in METHODS.values():
        assert footprint(sizes, method.engines).total > 0
