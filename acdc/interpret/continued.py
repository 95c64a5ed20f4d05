"""The rest of a run, from a changed residual stream on: what an intervention at one layer does to the logits.

Positions before the first changed one are those of the run that it starts from, so their keys and values are taken
from there: a change at the last position costs one position's work, not a forward pass.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.models import PatchableModel
from acdc.patching.activations import ActivationCache
from acdc.patching.attention import attend_layer, layer_out, project_layer
from acdc.patching.layout import Layout
from acdc.prompts.batch import PromptBatch

__all__ = ["Edit", "continued", "resid_at"]

Edit = Callable[[int, Float[Tensor, "batch pos d_model"]], Float[Tensor, "batch pos d_model"]]


@torch.no_grad()
def continued(
    model: PatchableModel,
    batch: PromptBatch,
    run: ActivationCache,
    resid: Float[Tensor, "batch columns d_model"],
    *,
    layer: int = 0,
    edit: Edit | None = None,
) -> Float[Tensor, "batch columns d_model"]:
    """The last residual stream of a run whose stream before block `layer` is replaced at its last columns.

    Args:
        batch: The prompts of the run, whichever side of them it was.
        run: The run; what its earlier columns hold is left as it is.
        resid: The new `resid_pre` of block `layer` (the number of layers: of the unembedding) at as many last columns
            as it has.
        edit: Changes the residual stream wherever it is read from block `layer` on, by attention, MLP or unembedding:
            `edit(layer, resid)`, where the last `layer` is the number of blocks.
    """
    layout, blocks, x = Layout(batch, model.dtype), model.components.blocks, resid
    start = batch.n_pos - resid.shape[1]
    for i, block in enumerate(blocks[layer:], layer):
        x = x if edit is None else edit(i, x)
        attention, normed, tables = block.attention, block.ln1(x), layout.rotary(block.attention)
        tables = None if tables is None else (tables[0][:, start:], tables[1][:, start:])
        q, k, v = (project_layer(attention, kind, normed, tables) for kind in ("q", "k", "v"))
        k, v = (torch.cat([old[:, :, :start], new], 2) for old, new in ((run.k[i], k), (run.v[i], v)))
        bias = layout.bias_of(attention)[..., start:, :]
        z = attend_layer(attention, q[:, None], k[:, None], v[:, None], bias)[:, 0]
        read_by_heads, x = x, x + layer_out(block, z)
        if not model.components.parallel and edit is not None:
            x = edit(i, x)
        x = x + block.mlp(block.ln2(read_by_heads if model.components.parallel else x))
    return x if edit is None else edit(len(blocks), x)


def resid_at(run: ActivationCache, layer: int) -> Float[Tensor, "batch pos d_model"]:
    """`resid_pre` of a block; the stream that the unembedding reads, where `layer` is the number of blocks."""
    return run.final if layer == len(run.resid_pre) else run.resid_pre[layer]
