"""Families that came before Llama's layout: GPT-2 and its kin, OPT, BLOOM and Falcon."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from acdc.models.components import Attention, Block, ModelComponents, Rotary
from acdc.models.families.views import read_out, separate

__all__ = ["bloom", "falcon", "gpt2", "gpt_neo", "gpt_neox", "gptj", "opt"]

QKV_NAMES = ("W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V")


def gpt2(hf: Any) -> ModelComponents:
    """GPT-2: learned positions, q, k and v side by side in `c_attn` ([d_model, 3 d_model])."""
    body = hf.transformer
    n_heads, d_model = hf.config.n_head, hf.config.n_embd

    def block(layer: Any) -> Block:
        q, k, v = (part.view(d_model, n_heads, -1).transpose(0, 1) for part in layer.attn.c_attn.weight.chunk(3, 1))
        b_q, b_k, b_v = layer.attn.c_attn.bias.view(3, n_heads, -1)
        w_o = layer.attn.c_proj.weight.view(n_heads, -1, d_model)
        scale = layer.attn.scaling
        attention = Attention(q, k, v, w_o, b_q, b_k, b_v, layer.attn.c_proj.bias, scale)
        return Block(attention, layer.ln_1, layer.ln_2, layer.mlp)

    return ModelComponents(
        embed=lambda ids, positions: body.wte(ids) + body.wpe(positions),
        blocks=tuple(block(layer) for layer in body.h),
        ln_final=body.ln_f,
        unembed=hf.lm_head.weight,
        unembed_bias=hf.lm_head.bias,
    )


def gpt_neo(hf: Any) -> ModelComponents:
    """GPT-Neo: GPT-2 with separate projections, scores without a scale, and a window in every other layer."""
    body, config = hf.transformer, hf.config

    def block(layer: Any) -> Block:
        attn = layer.attn.attention
        window = config.window_size if attn.attention_type == "local" else None
        attention = separate(attn, attn.out_proj, config, scale=1.0, window=window)
        return Block(attention, layer.ln_1, layer.ln_2, layer.mlp)

    return ModelComponents(
        embed=lambda ids, positions: body.wte(ids) + body.wpe(positions),
        blocks=tuple(block(layer) for layer in body.h),
        ln_final=body.ln_f,
        unembed=hf.lm_head.weight,
        unembed_bias=hf.lm_head.bias,
    )


def gptj(hf: Any) -> ModelComponents:
    """GPT-J: parallel blocks with one norm, rotation of neighbouring dimensions of a part of each head."""
    body, config = hf.transformer, hf.config

    def block(layer: Any) -> Block:
        attention = separate(
            layer.attn, layer.attn.out_proj, config, scale=1 / layer.attn.scale_attn, rotary=rotary, interleaved=True
        )
        return Block(attention, layer.ln_1, layer.ln_1, layer.mlp)

    rotary = _interleaved_tables(body.h[0].attn)
    return ModelComponents(
        embed=lambda ids, positions: body.wte(ids),
        blocks=tuple(block(layer) for layer in body.h),
        ln_final=body.ln_f,
        unembed=hf.lm_head.weight,
        unembed_bias=hf.lm_head.bias,
        parallel=True,
    )


def _interleaved_tables(attn: Any) -> Rotary:
    def tables(x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        sin, cos = attn.embed_positions.to(x.device)[positions].to(x.dtype).chunk(2, -1)
        return cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)

    return tables


def gpt_neox(hf: Any) -> ModelComponents:
    """GPT-NeoX and Pythia: rotary on a part of each head; q, k and v of each head side by side in one projection."""
    body, config = hf.gpt_neox, hf.config
    n_heads = config.num_attention_heads

    def block(layer: Any) -> Block:
        attn, dense = layer.attention, layer.attention.dense
        attention = Attention(
            **_per_head_qkv(attn.query_key_value, n_heads),
            W_O=read_out(dense, n_heads),
            b_O=dense.bias,
            scale=attn.scaling,
            rotary=body.rotary_emb,
        )
        return Block(attention, layer.input_layernorm, layer.post_attention_layernorm, layer.mlp)

    return ModelComponents(
        embed=lambda ids, positions: body.embed_in(ids),
        blocks=tuple(block(layer) for layer in body.layers),
        ln_final=body.final_layer_norm,
        unembed=hf.get_output_embeddings().weight,
        unembed_bias=hf.get_output_embeddings().bias,
        parallel=bool(config.use_parallel_residual),
    )


def _per_head_qkv(fused: nn.Linear, n_heads: int) -> dict[str, Any]:
    """Weights and biases where each head's q, k and v stand side by side."""
    weights = fused.weight.view(n_heads, 3, -1, fused.in_features).transpose(2, 3).unbind(1)
    biases = (None,) * 3 if fused.bias is None else fused.bias.view(n_heads, 3, -1).unbind(1)
    return dict(zip(QKV_NAMES, (*weights, *biases), strict=True))


def opt(hf: Any) -> ModelComponents:
    """OPT: learned positions counted from 2, separate projections, an MLP without a module of its own."""
    body, config = hf.model.decoder, hf.config

    def block(layer: Any) -> Block:
        def mlp(x: Tensor) -> Tensor:
            return layer.fc2(layer.activation_fn(layer.fc1(x)))

        attention = separate(layer.self_attn, layer.self_attn.out_proj, config)
        return Block(attention, layer.self_attn_layer_norm, layer.final_layer_norm, mlp)

    return ModelComponents(
        embed=lambda ids, positions: body.embed_tokens(ids) + body.embed_positions(None, position_ids=positions),
        blocks=tuple(block(layer) for layer in body.layers),
        ln_final=body.final_layer_norm or nn.Identity(),
        unembed=hf.lm_head.weight,
        unembed_bias=hf.lm_head.bias,
    )


def bloom(hf: Any) -> ModelComponents:
    """BLOOM: ALiBi, normed embeddings, fused q, k and v; its MLP adds the residual stream, here zero, itself."""
    body, n_heads = hf.transformer, hf.config.n_head

    def alibi(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
        return body.build_alibi_tensor(attention_mask, n_heads, dtype).view(len(attention_mask), n_heads, 1, -1)

    def block(layer: Any) -> Block:
        attn, dense = layer.self_attention, layer.self_attention.dense
        attention = Attention(
            **_per_head_qkv(attn.query_key_value, n_heads),
            W_O=read_out(dense, n_heads),
            b_O=dense.bias,
            scale=attn.inv_norm_factor,
            alibi=alibi,
        )
        return Block(
            attention,
            layer.input_layernorm,
            layer.post_attention_layernorm,
            lambda x: layer.mlp(x, torch.zeros_like(x)),
        )

    return ModelComponents(
        embed=lambda ids, positions: body.word_embeddings_layernorm(body.word_embeddings(ids)),
        blocks=tuple(block(layer) for layer in body.h),
        ln_final=body.ln_f,
        unembed=hf.lm_head.weight,
        unembed_bias=hf.lm_head.bias,
    )


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

    return ModelComponents(
        embed=lambda ids, positions: body.word_embeddings(ids),
        blocks=tuple(block(layer) for layer in body.h),
        ln_final=body.ln_f,
        unembed=hf.lm_head.weight,
        unembed_bias=hf.lm_head.bias,
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
