"""A model that is spread over devices computes the same, and nothing meets what lies on another device."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from acdc.models import PatchableModel
from acdc.models.placement import Placed
from acdc.patching import source_changes
from acdc.patching.problem import Problem
from tests.models.engines import ENGINES, masked
from tests.tiny import NumberTokenizer, tiny_batch, tiny_model

if torch.cuda.is_available():  # its backward passes don't work in a process that knows a device made in Python
    pytest.skip("a GPU is here, so that no other device has to be made up", allow_module_level=True)

from tests.virtual import FAR, VirtualDevices, moved, numbers, on

CPU = torch.device("cpu")


def spread(family: str, far: tuple[str, ...]) -> PatchableModel:
    """A tiny model of which some modules lie on the far device."""
    hf = tiny_model(family).hf
    with VirtualDevices():
        for name in far:
            moved(hf.get_submodule(name))
        return PatchableModel(hf, NumberTokenizer(), name=family)


BODIES = {
    "gpt2": "transformer.h",
    "llama-gqa": "model.layers",
    "gemma2": "model.layers",
    "neox-parallel": "gpt_neox.layers",
}


@pytest.fixture(autouse=True)
def doubles_are_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A double's parameters are of another class, and it has no sparse tensors."""
    monkeypatch.setattr("acdc.models.patchable.check_bypassed", lambda hf, reads: None)
    monkeypatch.setattr(source_changes, "_compact", lambda weights: weights)


@pytest.mark.parametrize("work", ENGINES)
@pytest.mark.parametrize("family", BODIES)
@pytest.mark.parametrize("which", ["a block", "all blocks", "an MLP"])
def test_blocks_on_another_device_compute_the_same(which: str, family: str, work: Callable[[Problem], Tensor]) -> None:
    layers = BODIES[family]
    far = {"a block": (f"{layers}.1",), "all blocks": (f"{layers}.0", f"{layers}.1"), "an MLP": (f"{layers}.0.mlp",)}
    model, here = spread(family, far[which]), tiny_model(family)
    with VirtualDevices():
        found = numbers(work(Problem.make(model, tiny_batch())))
    assert torch.equal(found, work(Problem.make(here, tiny_batch())))


def test_activations_lie_with_the_unembedding() -> None:
    model = spread("llama-gqa", ("lm_head", "model.layers.0", "model.rotary_emb"))
    with VirtualDevices():
        problem = Problem.make(model, tiny_batch())
        assert model.device == FAR and isinstance(model.components.embed, Placed)
        assert {x.device for x in (*problem.clean.outputs.mlp, *problem.clean.q, problem.clean.final)} == {FAR}
        found = numbers(masked(problem))
    assert torch.equal(found, masked(Problem.make(tiny_model("llama-gqa"), tiny_batch())))


def test_the_double_refuses_to_mix_devices() -> None:
    with VirtualDevices():
        here, far = torch.ones(2, 2), on(torch.ones(2, 2), FAR)
        assert (far + far).device == (far + 1).device == here.to(FAR).device == FAR
        assert (far.cpu() + here).device == CPU and float((far @ far).sum()) == 8
        for mixed in (lambda: here + far, lambda: far @ here, lambda: torch.cat([far, here]), lambda: here[far.long()]):
            with pytest.raises(RuntimeError, match="operands on"):
                mixed()
    model = spread("gpt2", ("transformer.h.1",))
    with VirtualDevices(), pytest.raises(RuntimeError, match="operands on"):
        model.hf.transformer.h[1].mlp(torch.ones(1, 16, dtype=torch.float64))
