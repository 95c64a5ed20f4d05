"""Everything that is done with features is done on the model's device, wherever the dictionaries lay."""

from pathlib import Path

import pytest
import torch

from acdc.models import PatchableModel
from acdc.patching import source_changes
from tests.features.works import WORKS, Work, circuit, fired, measured, read, steered, traced_heads, trained
from tests.tiny import NumberTokenizer, tiny_model

if torch.cuda.is_available():  # its backward passes don't work in a process that knows a device made in Python
    pytest.skip("a GPU is here, so that no other device has to be made up", allow_module_level=True)

from tests.virtual import FAR, VirtualDevices, moved, numbers


@pytest.mark.parametrize("work", [work for work in WORKS if work is not traced_heads])  # a double has no batched grad
def test_it_is_done_on_the_model_s_device(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.models.patchable.check_bypassed", lambda hf, reads: None)  # a double is of another class
    monkeypatch.setattr(source_changes, "_compact", lambda weights: weights)  # and has no sparse tensors
    right = work(tiny_model("gpt2"), tmp_path)
    hf = tiny_model("gpt2").hf
    with VirtualDevices():
        moved(hf)
        model = PatchableModel(hf, NumberTokenizer(), name="gpt2")
        assert model.device == FAR
        found = numbers(work(model, tmp_path))
    torch.testing.assert_close(found, right, atol=1e-12, rtol=0, equal_nan=True)


@pytest.mark.parametrize("work", [measured, trained, read, fired, circuit, steered])
def test_bfloat16_gives_nearly_the_same(work: Work, tmp_path: Path) -> None:
    found, right = (work(tiny_model("gpt2", dtype=dtype), tmp_path) for dtype in (torch.bfloat16, torch.float64))
    assert (found.double() - right.double()).abs().nanmean() < 0.03 * right.double().abs().nanmean()
