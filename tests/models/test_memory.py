"""What needs more memory than is free is refused before it starts; what is counted is what is held."""

import pytest
import torch

from acdc.errors import ModelError
from acdc.models import PatchableModel, memory
from tests.configs import ONE_EACH
from tests.tiny import tiny_batch, tiny_model


@pytest.mark.parametrize("family", ONE_EACH)
def test_weights_are_counted_without_being_made(family: str) -> None:
    model = tiny_model(family)
    held = sum(parameter.numel() * parameter.element_size() for parameter in model.hf.parameters())
    buffers = [(b.numel(), 4 if b.is_floating_point() else b.element_size()) for b in model.hf.buffers()]
    beside = sum(numbers * size for numbers, size in buffers)  # made in float32, whatever the weights' dtype
    assert memory.weight_bytes(model.hf.config, torch.float64) == held + beside
    assert memory.weight_bytes(model.hf.config, torch.bfloat16) == held // 4 + beside


def test_weights_that_do_not_fit_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    monkeypatch.setattr("acdc.models.patchable.load_model", lambda *args: pytest.fail("weights were read"))
    with pytest.raises(ModelError, match=r"take \d MiB in float32, and cpu has .* use dtype bfloat16"):
        PatchableModel.from_pretrained("acdc-small")


def test_where_nothing_tells_how_much_is_free_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.free_bytes(torch.device("meta")) is None
    monkeypatch.setattr(memory, "free_bytes", lambda device: None)
    memory.check_weights("m", 10**18, torch.float32, [torch.device("cpu")])


def test_free_memory_of_this_machine_is_some() -> None:
    free = memory.free_bytes(torch.device("cpu"))
    assert free is None or 0 < free < 2**60


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
def test_a_device_map_loads_the_same_model(device_map: object) -> None:
    pytest.importorskip("accelerate")
    plain = PatchableModel.from_pretrained("acdc-small")
    mapped = PatchableModel.from_pretrained("acdc-small", device_map=device_map)
    batch = tiny_batch(n=2)
    if device_map != "auto" or not torch.cuda.is_available():
        assert torch.equal(mapped.reference_logits(batch), plain.reference_logits(batch))
        assert mapped.device == plain.device


def test_a_device_map_without_accelerate_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.models.devices.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="needs the package accelerate"):
        PatchableModel.from_pretrained("acdc-small", device_map="auto")


def test_a_device_map_and_a_device_are_refused() -> None:
    with pytest.raises(ModelError, match="not both"):
        PatchableModel.from_pretrained("acdc-small", device_map="auto", device="meta")
