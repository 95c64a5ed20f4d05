"""A forward pass that shows each layer's attention on its way, and may be changed there."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.models import PatchableModel
from acdc.models.components import Attention
from acdc.patching.attention import attn_out, constant, post_scale, project_layer
from acdc.patching.layout import Layout
from acdc.patching.pattern import head_patterns
from acdc.prompts.batch import PromptBatch

__all__ = ["LayerAttention", "Visit", "attention_pass"]


@dataclass(frozen=True)
class LayerAttention:
    """One layer's attention in a run.

    Attributes:
        pattern: Each query's shares; a row sums to 1, or with a sink to 1 minus its share. Rows of padding are 0.
        v: Of the heads that are stored: `n_kv` of them.
        resid_pre: The residual stream that the layer reads.
    """

    layer: int
    attention: Attention
    pattern: Float[Tensor, "head batch query key"]
    v: Float[Tensor, "n_kv batch key d_head"]
    resid_pre: Float[Tensor, "batch key d_model"]

    def z(self, pattern: Float[Tensor, "head batch query key"] | None = None) -> Float[Tensor, "head batch query d"]:
        """What the heads read with a pattern, by default their own, before a norm after attention."""
        shares = self.pattern if pattern is None else pattern
        return torch.matmul(shares.to(self.v.dtype), self.v.repeat_interleave(self.attention.group, 0))

    def written(self, z: Float[Tensor, "head batch query d"]) -> Float[Tensor, "head batch query d"]:
        """z as it goes through `W_O`: divided by the norm after attention, where there is one."""
        scale = post_scale(self.attention, z)
        return z if scale is None else (z * scale).to(z.dtype)


Visit = Callable[[LayerAttention], Tensor | None]
"""Looks at a layer; gives another z, `[head batch query d_head]`, to go on with, or None for its own."""


@torch.no_grad()
def attention_pass(
    model: PatchableModel, batch: PromptBatch, ids: Int[Tensor, "batch pos"], visit: Visit
) -> Float[Tensor, "batch pos d_model"]:
    """Run the model on the `ids` of a batch's clean or corrupted side; only one layer's pattern is held at a time.

    Returns:
        The last residual stream.
    """
    components, layout = model.components, Layout(batch, model.dtype)
    x = model.embed(ids, batch.position_ids)
    for layer, block in enumerate(components.blocks):
        attention, normed, before = block.attention, block.ln1(x), x
        tables = layout.rotary(attention)
        q, k, v = (project_layer(attention, kind, normed, tables) for kind in QKV)
        keys = k.repeat_interleave(attention.group, 0)[:, None]
        heads = range(attention.n_heads)
        pattern = head_patterns(attention, heads, q[:, None], keys, layout.bias_of(attention))[:, 0]
        here = LayerAttention(layer, attention, pattern * batch.attention[:, :, None], v, x)
        z = visit(here)
        x = x + attn_out(attention, here.written(here.z() if z is None else z))
        bias = constant(attention)
        x = x if bias is None else x + bias
        x = x + block.mlp(block.ln2(before if components.parallel else x))
    return x
