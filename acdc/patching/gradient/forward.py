"""The forward pass of the gradient engine: the unpatched model from any of its residual streams on, and the loss."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.patching.activations import NodeOutputs
from acdc.patching.attention import layer_out, layer_z
from acdc.patching.gradient.microbatch import Microbatch
from acdc.patching.gradient.streams import ResidualStreams

__all__ = ["forward", "forward_with_outputs", "summed_loss"]

Wrote = Callable[[Tensor], None]


@torch.no_grad()
def forward(
    microbatch: Microbatch,
    x: Float[Tensor, "batch pos d_model"],
    layer: int = 0,
    *,
    at_mlp: bool = False,
    heads_wrote: Wrote | None = None,
    mlp_wrote: Wrote | None = None,
) -> ResidualStreams:
    """Run the unpatched model from the residual stream `x` on.

    Args:
        layer: The block that reads `x`.
        at_mlp: It is the block's MLP that reads `x`, after its attention (in serial blocks).
        heads_wrote, mlp_wrote: Called in every block with z and with what the MLP writes.
    """
    components, layout = microbatch.model.components, microbatch.layout
    resid_pre, resid_mid = dict[int, Tensor](), dict[int, Tensor]()
    for i in range(layer, len(components.blocks)):
        block, read_by_mlp = components.blocks[i], x
        if not (at_mlp and i == layer):
            resid_pre[i] = x
            z = layer_z(block, x, layout)
            if heads_wrote is not None:
                heads_wrote(z)
            x = x + layer_out(block, z)
            read_by_mlp = resid_pre[i] if components.parallel else x
        resid_mid[i] = read_by_mlp
        mlp = block.mlp(block.ln2(read_by_mlp))
        if mlp_wrote is not None:
            mlp_wrote(mlp)
        x = x + mlp
    return ResidualStreams(resid_pre, resid_mid, x)


def forward_with_outputs(
    microbatch: Microbatch, x: Float[Tensor, "batch pos d_model"]
) -> tuple[ResidualStreams, NodeOutputs]:
    """Run the unpatched model on the embeddings `x`, keeping what every source writes."""
    z, mlp = list[Tensor](), list[Tensor]()
    streams = forward(microbatch, x, heads_wrote=z.append, mlp_wrote=mlp.append)
    return streams, NodeOutputs(x, tuple(z), tuple(mlp))


def summed_loss(microbatch: Microbatch, final: Float[Tensor, "batch d_model"]) -> Float[Tensor, ""]:
    """The sum of the prompts' losses, from what the logits read at the last position; in float32 at least."""
    logits = microbatch.model.unembed(final, microbatch.objective.tokens)
    values = microbatch.objective.values(logits if logits.dtype == torch.float64 else logits.float())
    return microbatch.objective.metric.loss(values.sum())
