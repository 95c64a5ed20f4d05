"""Falcon."""

import math
from typing import Any

import torch
from torch import Tensor

from acdc.models.components import Attention, Block, ModelComponents
from acdc.models.family import Family
from acdc.models.views import QKV_NAMES, decoder, read_out

__all__ = ["FAMILIES"]


def falcon(hf: Any) -> ModelComponents:
    """Falcon: one key head or several, parallel blocks with one norm or two, rotary or ALiBi.

    With several key heads (40B, 180B, Falcon 2) each group's queries, key and value stand side by side, which is no
    view per head: W_Q alone is a copy there.
    """
    body, config = hf.transformer, hf.config
    two_norms = config.new_decoder_architecture and config.num_ln_in_parallel_attn == 2
    alibi = _falcon_alibi(config) if config.alibi else None

    def block(layer: Any) -> Block:
        attn = layer.self_attention
        attention = Attention(
            **_falcon_qkv(attn, config),
            W_O=read_out(attn.dense, config.num_attention_heads),
            b_O=attn.dense.bias,
            scale=attn.inv_norm_factor,
            rotary=None if config.alibi else body.rotary_emb,
            alibi=alibi,
        )
        if two_norms:
            return Block(attention, layer.ln_attn, layer.ln_mlp, layer.mlp)
        second = layer.input_layernorm if config.parallel_attn else layer.post_attention_layernorm
        return Block(attention, layer.input_layernorm, second, layer.mlp)

    return decoder(
        hf,
        map(block, body.h),
        ln_final=body.ln_f,
        parallel=bool(config.new_decoder_architecture or config.parallel_attn),
    )


def _falcon_qkv(attn: Any, config: Any) -> dict[str, Any]:
    """Weights and biases of q, k and v, whose heads stand in groups of queries, a key and a value."""
    fused, n_heads, d_head = attn.query_key_value, config.num_attention_heads, attn.head_dim
    n_groups = attn.num_kv_heads

    def split(x: Tensor) -> tuple[Tensor, ...]:
        heads = x.view(n_groups, -1, d_head, *x.shape[1:])
        return heads[:, :-2].reshape(n_heads, d_head, *x.shape[1:]), heads[:, -2], heads[:, -1]

    weights = (part.transpose(1, 2) for part in split(fused.weight))
    biases = (None,) * 3 if fused.bias is None else split(fused.bias)
    return dict(zip(QKV_NAMES, (*weights, *biases), strict=True))


def _falcon_alibi(config: Any) -> Any:
    from transformers.models.falcon.modeling_falcon import build_alibi_tensor

    n_heads = config.num_attention_heads

    def alibi(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
        bias = build_alibi_tensor(attention_mask, n_heads, dtype).view(len(attention_mask), n_heads, 1, -1)
        return bias / math.sqrt(config.hidden_size // n_heads)

    return alibi


FAMILIES = {
    "falcon": Family(
        "Falcon",
        falcon,
        "Falcon, Falcon 2",
        "MHA, GQA, MQA, ALiBi, one norm and two, serial",
        reads=("self_attention.query_key_value", "self_attention.dense"),
    )
}
