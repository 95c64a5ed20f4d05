"""On a GPU everything that is done with features gives what it gives on the CPU, in float64, and bfloat16 is near."""

from pathlib import Path

import pytest
import torch

from acdc.models import PatchableModel
from tests.features.works import WORKS, Work
from tests.tiny import tiny_model

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


@pytest.mark.parametrize("work", WORKS)
def test_a_gpu_finds_what_the_cpu_finds(work: Work, tmp_path: Path) -> None:
    there = tiny_model("gpt2")
    there.hf.cuda()
    moved = PatchableModel(there.hf, there.tokenizer, name="gpt2")
    found, right = work(moved, tmp_path).cpu(), work(tiny_model("gpt2"), tmp_path)
    torch.testing.assert_close(found, right, atol=1e-9, rtol=0, equal_nan=True)


@pytest.mark.parametrize("work", WORKS)
def test_half_precision_is_done_there_too(work: Work, tmp_path: Path) -> None:
    model = tiny_model("gpt2", dtype=torch.bfloat16)
    model.hf.cuda()
    work(PatchableModel(model.hf, model.tokenizer, name="gpt2"), tmp_path)
