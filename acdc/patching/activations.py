"""What every source writes in one run of the unpatched model, with heads kept in head space."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.models import PatchableModel
from acdc.patching.attention import attend_layer, attn_out, constant, project_layer
from acdc.patching.layout import Layout
from acdc.prompts.batch import PromptBatch

__all__ = ["ActivationCache", "NodeOutputs", "mapped", "run"]


@dataclass(frozen=True)
class NodeOutputs:
    """What all sources write at some tokens, laid out as `[batch pos]` or as rows.

    A head's output is kept as z, and what it writes is `z W_O` (fact 8): see `acdc.patching.attention.head_results`.
    """

    input: Float[Tensor, "*tokens d_model"]
    z: tuple[Float[Tensor, "head *tokens d_head"], ...]
    mlp: tuple[Float[Tensor, "*tokens d_model"], ...]

    def select(self, prompts: Int[Tensor, " n"], start: int) -> "NodeOutputs":
        """Those of some prompts, from a column on, where tokens are `[batch pos]`."""
        z, mlp = (tuple(x[..., prompts, start:, :] for x in xs) for xs in (self.z, self.mlp))
        return NodeOutputs(self.input[prompts, start:], z, mlp)


def mapped(function: Callable[..., Tensor], *outputs: NodeOutputs) -> NodeOutputs:
    """`function` of the same source's tensor in each of `outputs`, for every source."""
    return NodeOutputs(
        function(*(each.input for each in outputs)),
        tuple(function(*zs) for zs in zip(*(each.z for each in outputs), strict=True)),
        tuple(function(*mlps) for mlps in zip(*(each.mlp for each in outputs), strict=True)),
    )


@dataclass(frozen=True)
class ActivationCache:
    """A run with all that a `CircuitState` starts from.

    Attributes:
        outputs: What the sources write.
        q, k, v: Per layer `[head batch pos d_head]`; with grouped-query attention k and v have `n_kv` heads.
        resid_pre, resid_mid: Per layer, the residual stream that attention and the MLP read.
        final: The residual stream that the unembedding reads.
        logits: At the target positions, `[batch vocab]`.
    """

    outputs: NodeOutputs
    q: tuple[Tensor, ...]
    k: tuple[Tensor, ...]
    v: tuple[Tensor, ...]
    resid_pre: tuple[Tensor, ...]
    resid_mid: tuple[Tensor, ...]
    final: Float[Tensor, "batch pos d_model"]
    logits: Float[Tensor, "batch vocab"]


@torch.no_grad()
def run(
    model: PatchableModel,
    batch: PromptBatch,
    ids: Int[Tensor, "batch pos"],
    *,
    embeddings: Float[Tensor, "batch pos d_model"] | None = None,
) -> ActivationCache:
    """Run the unpatched model on the batch's clean or corrupted `ids`.

    Args:
        embeddings: Read instead of the embedded ids.
    """
    components, layout = model.components, Layout(batch, model.dtype)
    x = model.embed(ids, batch.position_ids) if embeddings is None else embeddings
    start = x
    layers: list[tuple[Tensor, ...]] = []
    for block in components.blocks:
        read_by_heads = x
        attention, normed, tables = block.attention, block.ln1(x), layout.rotary(block.attention)
        q, k, v = (project_layer(attention, kind, normed, tables) for kind in ("q", "k", "v"))
        z = attend_layer(attention, q[:, None], k[:, None], v[:, None], layout.bias_of(attention))[:, 0]
        x = x + attn_out(attention, z)
        bias = constant(attention)
        x = x if bias is None else x + bias
        read_by_mlp = read_by_heads if components.parallel else x
        mlp = block.mlp(block.ln2(read_by_mlp))
        x = x + mlp
        layers.append((z, mlp, q, k, v, read_by_heads, read_by_mlp))
    zs, mlps, qs, ks, vs, resid_pre, resid_mid = zip(*layers, strict=True)
    logits = model.unembed(x[:, -1])
    return ActivationCache(NodeOutputs(start, zs, mlps), qs, ks, vs, resid_pre, resid_mid, x, logits)
