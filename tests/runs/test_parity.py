"""In 16 bits too, a model that is computed otherwise is told from rounding."""

import pytest
import torch

from acdc.errors import ModelError
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.runs.parity import TOLERANCE, check_parity
from acdc.task import load_task


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_rounding_is_allowed_and_a_small_adapter_is_not(dtype: str) -> None:
    model = PatchableModel.from_pretrained("acdc-small", dtype=dtype)
    problem = Problem.make(model, load_task("ioi").batch(model.tokenizer, 20, 0))
    found = check_parity(problem)
    assert found["max_abs_difference"] <= found["allowed"] / 2
    generator = torch.Generator().manual_seed(0)
    module = model.hf.transformer.h[1].attn.c_proj
    down, up = (torch.randn(shape, generator=generator).to(model.dtype) for shape in ((128, 2), (2, 128)))
    module.register_forward_hook(lambda module, args, out: out + 0.02 * args[0] @ down @ up)
    with pytest.raises(ModelError, match="differ from Hugging Face's by"):
        check_parity(problem)


def test_the_fewer_the_bits_the_more_is_allowed() -> None:
    by_bits = [TOLERANCE[dtype] for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)]
    assert by_bits == sorted(by_bits)
