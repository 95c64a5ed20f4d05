"""The forward pass of the gradient engine: the unpatched model from any of its residual streams on, and the loss."""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.models.components import Block
from acdc.patching.attention import attend_layer, attn_out, constant, project_layer
from acdc.patching.gradient.microbatch import Microbatch
from acdc.patching.gradient.streams import ResidualStreams
from acdc.patching.layout import Layout

__all__ = ["forward", "summed_loss"]


@torch.no_grad()
def forward(
    microbatch: Microbatch, x: Float[Tensor, "batch pos d_model"], layer: int = 0, *, at_mlp: bool = False
) -> ResidualStreams:
    """Run the unpatched model from the residual stream `x` on.

    Args:
        layer: The block that reads `x`.
        at_mlp: It is the block's MLP that reads `x`, after its attention (in serial blocks).
    """
    components, layout = microbatch.model.components, microbatch.layout
    resid_pre, resid_mid = dict[int, Tensor](), dict[int, Tensor]()
    for i in range(layer, len(components.blocks)):
        block, read_by_mlp = components.blocks[i], x
        if not (at_mlp and i == layer):
            resid_pre[i] = x
            x = x + _attention(block, x, layout)
            read_by_mlp = resid_pre[i] if components.parallel else x
        resid_mid[i] = read_by_mlp
        x = x + block.mlp(block.ln2(read_by_mlp))
    return ResidualStreams(resid_pre, resid_mid, x)


def summed_loss(microbatch: Microbatch, final: Float[Tensor, "batch d_model"]) -> Float[Tensor, ""]:
    """The sum of the prompts' losses, from what the logits read at the last position; in float32 at least."""
    logits = microbatch.model.unembed(final, microbatch.objective.tokens)
    values = microbatch.objective.values(logits if logits.dtype == torch.float64 else logits.float())
    return microbatch.objective.metric.loss(values.sum())


def _attention(
    block: Block, x: Float[Tensor, "batch pos d_model"], layout: Layout
) -> Float[Tensor, "batch pos d_model"]:
    """What a layer's attention adds, what belongs to no head included."""
    attention, y, tables = block.attention, block.ln1(x), layout.rotary(block.attention)
    q, k, v = (project_layer(attention, kind, y, tables)[:, None] for kind in QKV)
    out = attn_out(attention, attend_layer(attention, q, k, v, layout.bias_of(attention))[:, 0])
    bias = constant(attention)
    return out if bias is None else out + bias
