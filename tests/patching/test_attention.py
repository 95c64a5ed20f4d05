"""The functions that every engine shares agree with each other, and gradients flow through them."""

import pytest
import torch

from acdc.patching.activations import run
from acdc.patching.attention import Layout, attn_out, head_outputs, written
from tests.tiny import KeepDouble, tiny_batch, tiny_model

FAMILIES = [
    "llama-gqa",
    "gptj",
    "bloom",
    "olmo",
    "gemma2",
    "gemma3",
    "olmo2",
    "granite",
    "gpt-oss",
    "stablelm-parallel",
]


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_one_by_one_write_what_the_layer_writes(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    layout = Layout(batch, model.components, model.dtype)
    with KeepDouble(), torch.no_grad():
        clean = run(model, batch, batch.clean)
        for layer, block in enumerate(model.components.blocks):
            x = block.ln1(clean.resid_pre[layer])
            total = torch.zeros_like(x)
            for h in reversed(range(model.graph.n_heads)):
                z = head_outputs(block.attention, [h], dict.fromkeys("qkv", x[None]), layout)
                torch.testing.assert_close(z[0], clean.outputs.z[layer][h], atol=1e-12, rtol=0)
                total += written(block.attention, z, [h])[0]
            together = attn_out(block.attention, clean.outputs.z[layer])
            torch.testing.assert_close(total, together, atol=1e-12, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_finite_differences(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch(n=2)
    attention, layout = model.components.blocks[1].attention, Layout(batch, model.components, model.dtype)
    generator = torch.Generator().manual_seed(3)
    heads, shape = [1, 0], (2, batch.n, batch.n_pos, model.graph.d_model)
    inputs = {k: torch.randn(shape, generator=generator, dtype=torch.float64) for k in "qkv"}
    step = {k: 1e-6 * torch.randn(shape, generator=generator, dtype=torch.float64) for k in "qkv"}

    def total(way: float | torch.Tensor) -> torch.Tensor:
        moved = {k: x + way * step[k] for k, x in inputs.items()}
        z = head_outputs(attention, heads, moved, layout)
        return (written(attention, z, heads)[:, batch.attention]).sin().sum()

    with KeepDouble():
        way = torch.zeros((), dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(total(way), way)
        with torch.no_grad():
            finite = (total(1.0) - total(-1.0)) / 2
    torch.testing.assert_close(slope, finite, rtol=1e-4, atol=1e-11)
