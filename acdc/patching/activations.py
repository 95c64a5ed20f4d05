"""What every source writes in one run of the unpatched model, with heads kept in head space."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.models import PatchableModel
from acdc.models.parts import Attention
from acdc.patching.attention import Layout, attend, project, rotate
from acdc.prompts import PromptBatch

__all__ = ["CleanRun", "Outputs", "head_rows", "run"]


@dataclass(frozen=True)
class Outputs:
    """Outputs of all sources at some tokens, laid out as `[batch pos]` or as rows.

    A head's output is kept as z, and what it writes is `z W_O` (fact 8).
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


def head_rows(attention: Attention, kind: str) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a layer's q, k or v projection, as they are stored."""
    return {
        "q": (attention.W_Q, attention.b_Q),
        "k": (attention.W_K, attention.b_K),
        "v": (attention.W_V, attention.b_V),
    }[kind]


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
    tables = layout.rotary()
    x = model.embed(ids, batch.position_ids) if embeddings is None else embeddings
    start = x
    layers: list[tuple[Tensor, ...]] = []
    for block in parts.blocks:
        read_by_heads = x
        q, k, v = _qkv(block.attention, block.attention_norm(x), tables)
        group = q.shape[0] // k.shape[0]
        z = attend(
            q[:, None],
            k.repeat_interleave(group, 0)[:, None],
            v.repeat_interleave(group, 0)[:, None],
            layout.bias(block.attention.window),
            block.attention.scale,
        )[:, 0]
        x = x + torch.einsum("hbpe,hed->bpd", z, block.attention.W_O)
        x = x if block.attention.b_O is None else x + block.attention.b_O
        read_by_mlp = read_by_heads if parts.parallel else x
        mlp = block.mlp(block.mlp_norm(read_by_mlp))
        x = x + mlp
        layers.append((z, mlp, q, k, v, read_by_heads, read_by_mlp))
    zs, mlps, qs, ks, vs, before_attention, before_mlp = zip(*layers, strict=True)
    logits = model.unembed(x[:, -1])
    return CleanRun(Outputs(start, zs, mlps), qs, ks, vs, before_attention, before_mlp, x, logits)


def _qkv(
    attention: Attention, x: Float[Tensor, "batch pos d_model"], tables: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """All heads' q, k and v from one input, rotated."""
    batch, pos, _ = x.shape
    out = []
    for kind in ("q", "k", "v"):
        weight, bias = head_rows(attention, kind)
        rows = project(x.reshape(1, batch * pos, -1).expand(weight.shape[0], -1, -1), weight, bias)
        rows = rows.view(weight.shape[0], batch, pos, -1)
        out.append(rotate(rows, *tables) if tables is not None and kind != "v" else rows)
    return out[0], out[1], out[2]
