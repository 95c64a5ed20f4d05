"""BLOOM."""

from typing import Any

import torch
from torch import Tensor, nn

from acdc.models.components import Attention, Block, ModelComponents
from acdc.models.family import Family
from acdc.models.refusals import POST_NORM
from acdc.models.views import decoder, per_head_qkv, read_out

__all__ = ["FAMILIES"]


def bloom(hf: Any) -> ModelComponents:
    """BLOOM: ALiBi, normed embeddings, fused q, k and v; an MLP whose module would add the residual stream itself."""
    body, n_heads = hf.transformer, hf.config.n_head

    def alibi(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
        return body.build_alibi_tensor(attention_mask, n_heads, dtype).view(len(attention_mask), n_heads, 1, -1)

    def block(layer: Any) -> Block:
        attn, dense = layer.self_attention, layer.self_attention.dense
        attention = Attention(
            **per_head_qkv(attn.query_key_value, n_heads),
            W_O=read_out(dense, n_heads),
            b_O=dense.bias,
            scale=attn.inv_norm_factor,
            alibi=alibi,
        )
        mlp = nn.Sequential(layer.mlp.dense_h_to_4h, layer.mlp.gelu_impl, layer.mlp.dense_4h_to_h)
        return Block(attention, layer.input_layernorm, layer.post_attention_layernorm, mlp)

    return decoder(
        hf,
        map(block, body.h),
        ln_final=body.ln_f,
        embed=lambda ids, positions: body.word_embeddings_layernorm(body.word_embeddings(ids)),
    )


def bloom_post_norm(config: Any) -> str | None:
    """No released BLOOM does this."""
    if config.apply_residual_connection_post_layernorm:
        return f"{POST_NORM} (apply_residual_connection_post_layernorm is true)"
    return None


FAMILIES = {
    "bloom": Family(
        "BLOOM",
        bloom,
        "BLOOM, BLOOMZ",
        "ALiBi, odd numbers of heads",
        bloom_post_norm,
        reads=("self_attention.query_key_value", "self_attention.dense"),
    )
}
