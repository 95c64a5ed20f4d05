"""What heads would write without an edge into their queries or keys: attention is run again, not linearised."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.patching.attention import attend_layer, project_layer
from acdc.patching.gradient.microbatch import Microbatch

__all__ = ["rerun_heads"]


@torch.no_grad()
def rerun_heads(
    microbatch: Microbatch, layer: int, kind: str, where: Float[Tensor, "batch pos"] | None = None
) -> Iterator[tuple[int, Float[Tensor, "head src batch pos d_head"]]]:
    """The change of z of every head of a layer where its q (or k) input reads a source's ablated output.

    All of the head is run: the norm before it, the projection, rotation and softmax. Every head has the edge removed in
    a copy of its own layer, so where a norm joins the heads of a layer, its z is its own slice of that.

    Args:
        kind: `q`, `k` or `v`: which of the head's inputs reads it.
        where: 1 at the tokens at which it does, 0 at others; all by None.

    Yields:
        The first of some sources that follow each other, and the change for each; as many as fit into the memory.
    """
    graph, block, batch = microbatch.model.graph, microbatch.blocks[layer], microbatch.batch
    attention, x, layout = block.attention, microbatch.clean.resid_pre[layer], microbatch.layout
    tables, bias, clean = layout.rotary(attention), layout.bias_of(attention), microbatch.clean_outputs.z[layer]
    y = block.ln1(x)
    inputs = {each: project_layer(attention, each, y, tables)[:, None] for each in QKV}
    everywhere = torch.arange(batch.n * batch.n_pos, device=x.device)
    stop, size = int(graph.upstream[graph.head_dst(layer, kind)]), _at_once(microbatch)
    for low in range(0, stop, size):
        change = microbatch.written(low, min(low + size, stop), rows=everywhere)
        change = change.to(x.dtype).view(-1, *x.shape)
        moved = block.ln1(x + (change if where is None else change * where[..., None]))
        rerun = inputs | {kind: project_layer(attention, kind, moved, tables)}
        yield low, attend_layer(attention, rerun["q"], rerun["k"], rerun["v"], bias) - clean[:, None]


def _at_once(microbatch: Microbatch) -> int:
    """How many sources' reruns fit into the memory."""
    graph, batch = microbatch.model.graph, microbatch.batch
    d_head = microbatch.clean_outputs.z[0].shape[-1]
    row = 4 * graph.d_model + graph.n_heads * (4 * d_head + 4 * batch.n_pos)  # streams; projections, scores, pattern, z
    return max(1, microbatch.source_bytes // (batch.n * batch.n_pos * row * microbatch.accumulator.itemsize))
