"""The functions that every engine shares agree with each other, and gradients flow through them."""

import pytest
import torch

from acdc.patching import attention
from acdc.patching.activations import run
from acdc.patching.attention import attn_out, head_outputs, head_results
from acdc.patching.layout import Layout
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
    layout = Layout(batch, model.dtype)
    with KeepDouble(), torch.no_grad():
        clean = run(model, batch, batch.clean)
        for layer, block in enumerate(model.components.blocks):
            x = block.ln1(clean.resid_pre[layer])
            total = torch.zeros_like(x)
            for h in reversed(range(model.graph.n_heads)):
                z = head_outputs(block.attention, [h], dict.fromkeys("qkv", x[None]), layout)
                torch.testing.assert_close(z[0], clean.outputs.z[layer][h], atol=1e-12, rtol=0)
                total += head_results(block.attention, z, [h])[0]
            together = attn_out(block.attention, clean.outputs.z[layer])
            torch.testing.assert_close(total, together, atol=1e-12, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_finite_differences(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch(n=2)
    attention, layout = model.components.blocks[1].attention, Layout(batch, model.dtype)
    generator = torch.Generator().manual_seed(3)
    heads, shape = [1, 0], (2, batch.n, batch.n_pos, model.graph.d_model)
    inputs = {k: torch.randn(shape, generator=generator, dtype=torch.float64) for k in "qkv"}
    step = {k: 1e-6 * torch.randn(shape, generator=generator, dtype=torch.float64) for k in "qkv"}

    def total(way: float | torch.Tensor) -> torch.Tensor:
        moved = {k: x + way * step[k] for k, x in inputs.items()}
        z = head_outputs(attention, heads, moved, layout)
        return (head_results(attention, z, heads)[:, batch.attention]).sin().sum()

    with KeepDouble():
        way = torch.zeros((), dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(total(way), way)
        with torch.no_grad():
            finite = (total(1.0) - total(-1.0)) / 2
    torch.testing.assert_close(slope, finite, rtol=1e-4, atol=1e-11)


@pytest.mark.parametrize("copies", [(1, 1, 1), (3, 1, 3)])
def test_long_prompts_attend_through_the_fused_kernel_alike(
    copies: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padded prompts, a window, and the gradients too."""
    generator = torch.Generator().manual_seed(0)
    lengths = (3, attention.LONG + 2)
    batch = tiny_batch(n=2, lengths=lengths)
    mask = Layout(batch, torch.float64).bias(9)
    leaves = [
        torch.randn(2, n, 2, batch.n_pos, 4, generator=generator, dtype=torch.float64, requires_grad=True)
        for n in copies
    ]

    def both() -> tuple[torch.Tensor, ...]:
        z = attention.attend(*leaves, mask, 0.3)[:, :, batch.attention]
        return z, *torch.autograd.grad(z.sin().sum(), leaves)

    fused = both()
    monkeypatch.setattr(attention, "LONG", batch.n_pos + 1)
    for one, other in zip(fused, both(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)
