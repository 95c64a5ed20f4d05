"""On a GPU every engine finds what it finds on the CPU, with the model there or its blocks brought there in turn."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from tests.models.engines import ENGINES
from tests.tiny import tiny_batch, tiny_model

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]
ROUNDING = {"gpt2": 1e-10}  # elsewhere the rotary tables are float32, and each device rounds its own sines


@pytest.mark.parametrize("work", ENGINES)
@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "gemma2", "gpt-oss"])
def test_a_gpu_finds_what_the_cpu_finds(family: str, work: Callable[[Problem], Tensor]) -> None:
    here, there = tiny_model(family), tiny_model(family)
    there.hf.cuda()
    moved = PatchableModel(there.hf, there.tokenizer, name=family)
    found, right = work(Problem.make(moved, tiny_batch())).cpu(), work(Problem.make(here, tiny_batch()))
    torch.testing.assert_close(found, right, atol=ROUNDING.get(family, 2e-5), rtol=0)


@pytest.mark.parametrize("work", ENGINES)
def test_blocks_are_brought_to_the_gpu_one_at_a_time(
    work: Callable[[Problem], Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acdc.models.patchable.load_tokenizer", lambda origin: tiny_model("gpt2").tokenizer)
    tiny_model("llama-gqa").hf.save_pretrained(tmp_path)
    options = {"dtype": "float64", "device": "cuda"}
    there = Problem.make(PatchableModel.from_pretrained(tmp_path, **options), tiny_batch())
    away = Problem.make(PatchableModel.from_pretrained(tmp_path, device_map="offload", **options), tiny_batch())
    assert away.model.device.type == "cuda" and away.model.offloaded
    assert all(parameter.is_meta for parameter in away.model.hf.model.layers.parameters())
    torch.testing.assert_close(work(away), work(there), atol=1e-10, rtol=0)
