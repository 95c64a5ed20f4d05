"""What every source writes in one run of the unpatched model, with heads kept in head space."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.models import PatchableModel
from acdc.patching.attention import Layout, attend_layer, constant, project_layer, written_by_layer
from acdc.prompts.batch import PromptBatch

__all__ = ["CleanRun", "Outputs", "run"]


@dataclass(frozen=True)
class Outputs:
    """Outputs of all sources at some tokens, laid out as `[batch pos]` or as rows.

    A head's output is kept as z, and what it writes is `z W_O` (fact 8): see `acdc.patching.attention.written`.
    """

    input: Float[Tensor, "*tokens d_model"]
    z: tuple[Float[Tensor, "head *tokens d_head"], ...]
    mlp: tuple[Float[Tensor, "*tokens d_model"], ...]


@dataclass(frozen=True)
class CleanRun:
    """A run with all that a `CircuitState` starts from.

    Attributes:
        outputs: What the sources write.
        q, k, v: Per layer `[head batch pos d_head]`; with grouped-query attention k and v have `n_kv` heads.
        before_attention, before_mlp: Per layer, the residual stream that attention and the MLP read.
        final: The residual stream that the unembedding reads.
        logits: At the target positions, `[batch vocab]`.
    """

    outputs: Outputs
    q: tuple[Tensor, ...]
    k: tuple[Tensor, ...]
    v: tuple[Tensor, ...]
    before_attention: tuple[Tensor, ...]
    before_mlp: tuple[Tensor, ...]
    final: Float[Tensor, "batch pos d_model"]
    logits: Float[Tensor, "batch vocab"]


@torch.no_grad()
def run(
    model: PatchableModel,
    batch: PromptBatch,
    ids: Int[Tensor, "batch pos"],
    *,
    embeddings: Float[Tensor, "batch pos d_model"] | None = None,
) -> CleanRun:
    """Run the unpatched model on the batch's clean or corrupted `ids`.

    Args:
        embeddings: Read instead of the embedded ids.
    """
    parts, layout = model.parts, Layout(batch, model.parts, model.dtype)
    x = model.embed(ids, batch.position_ids) if embeddings is None else embeddings
    start = x
    layers: list[tuple[Tensor, ...]] = []
    for block in parts.blocks:
        read_by_heads = x
        attention, normed, tables = block.attention, block.attention_norm(x), layout.rotary(block.attention)
        q, k, v = (project_layer(attention, kind, normed, tables) for kind in ("q", "k", "v"))
        z = attend_layer(attention, q[:, None], k[:, None], v[:, None], layout.bias_of(attention))[:, 0]
        x = x + written_by_layer(attention, z)
        bias = constant(attention)
        x = x if bias is None else x + bias
        read_by_mlp = read_by_heads if parts.parallel else x
        mlp = block.mlp(block.mlp_norm(read_by_mlp))
        x = x + mlp
        layers.append((z, mlp, q, k, v, read_by_heads, read_by_mlp))
    zs, mlps, qs, ks, vs, before_attention, before_mlp = zip(*layers, strict=True)
    logits = model.unembed(x[:, -1])
    return CleanRun(Outputs(start, zs, mlps), qs, ks, vs, before_attention, before_mlp, x, logits)
