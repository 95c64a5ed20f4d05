"""Families laid out as Llama is: separate projections below `model.layers`, RMS norms, gated MLPs, rotary."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from acdc.models.components import Attention, Block, ModelComponents
from acdc.models.families.views import decoder, per_token, read_out, separate, whole_tables, window_of

__all__ = [
    "gemma2",
    "gemma3",
    "gpt_oss",
    "granite",
    "llama",
    "mixture",
    "olmo",
    "olmo2",
    "phi",
    "phi3",
    "qwen3",
    "qwen3_moe",
    "stablelm",
]

Fields = Callable[[Any], dict[str, Any]]  # of a layer's attention module


def llama(
    hf: Any, fields: Fields = lambda attn: {}, mlp: Callable[[Any], Any] = lambda module: module
) -> ModelComponents:
    """Llama, Mistral, Qwen2 and Gemma: grouped-query attention, perhaps a window and biases."""
    rotary = hf.model.rotary_emb

    def block(layer: Any) -> Block:
        attn = layer.self_attn
        window = window_of(hf.config, attn.layer_idx)
        attention = separate(attn, attn.o_proj, hf.config, **{"rotary": rotary, "window": window} | fields(attn))
        return Block(attention, layer.input_layernorm, layer.post_attention_layernorm, mlp(layer.mlp))

    return decoder(hf, map(block, hf.model.layers))


def mixture(hf: Any) -> ModelComponents:
    """Mixtral and Qwen2-MoE: Llama with a mixture of experts as its MLP."""
    return llama(hf, mlp=per_token)


def _head_norms(attn: Any) -> dict[str, Any]:
    return {"q_norm": (attn.q_norm,), "k_norm": (attn.k_norm,)}


def qwen3(hf: Any) -> ModelComponents:
    """Qwen3: Llama with a norm of each head's q and k."""
    return llama(hf, _head_norms)


def qwen3_moe(hf: Any) -> ModelComponents:
    """Qwen3-MoE: Qwen3 with a mixture of experts as its MLP."""
    return llama(hf, _head_norms, per_token)


def gpt_oss(hf: Any) -> ModelComponents:
    """GPT-OSS: a mixture of experts, attention sinks, a window in every other layer, biases, YaRN."""
    rotary = whole_tables(hf.model.rotary_emb)
    return llama(hf, lambda attn: {"sinks": attn.sinks, "rotary": rotary}, per_token)


def olmo(hf: Any) -> ModelComponents:
    """OLMo: Llama with norms that have no weights, and q, k and v clipped."""
    return llama(hf, lambda attn: {"clip": hf.config.clip_qkv})


def granite(hf: Any) -> ModelComponents:
    """Granite: Llama with factors of the embeddings, the scores, what each component adds, and the logits."""
    config, body = hf.config, hf.model
    factor = float(config.residual_multiplier)
    components = llama(hf, lambda attn: {"gain": factor}, lambda module: lambda x: module(x) * factor)
    return decoder(
        hf,
        components.blocks,
        embed=lambda ids, positions: body.embed_tokens(ids) * config.embedding_multiplier,
        logit_divisor=float(config.logits_scaling),
    )


def stablelm(hf: Any) -> ModelComponents:
    """StableLM: layer norms, rotary on a part of each head, perhaps parallel blocks, perhaps a norm for each head."""
    config, rotary = hf.config, hf.model.rotary_emb

    def block(layer: Any) -> Block:
        attn, first = layer.self_attn, layer.input_layernorm
        norms = {}
        if attn.qk_layernorm:
            norms = {"q_norm": tuple(attn.q_layernorm.norms), "k_norm": tuple(attn.k_layernorm.norms)}
        attention = separate(attn, attn.o_proj, config, rotary=rotary, **norms)
        second = first if config.use_parallel_residual else layer.post_attention_layernorm
        return Block(attention, first, second, layer.mlp)

    return decoder(hf, map(block, hf.model.layers), parallel=bool(config.use_parallel_residual))


def phi(hf: Any) -> ModelComponents:
    """Phi-1, 1.5 and 2: parallel blocks with one norm, biases everywhere, rotary on a part of each head."""
    rotary = hf.model.rotary_emb

    def block(layer: Any) -> Block:
        attn, norms = layer.self_attn, {}
        if attn.qk_layernorm:
            norms = {"q_norm": (attn.q_layernorm,), "k_norm": (attn.k_layernorm,)}
        attention = separate(attn, attn.dense, hf.config, rotary=rotary, **norms)
        return Block(attention, layer.input_layernorm, layer.input_layernorm, layer.mlp)

    return decoder(hf, map(block, hf.model.layers), parallel=True, ln_final=hf.model.final_layernorm)


def phi3(hf: Any) -> ModelComponents:
    """Phi-3 and Phi-4: Llama with q, k and v one above the other in one projection."""
    config, rotary = hf.config, hf.model.rotary_emb
    n_heads, n_kv = config.num_attention_heads, config.num_key_value_heads

    def block(layer: Any) -> Block:
        attn = layer.self_attn
        heads = attn.qkv_proj.weight.view(n_heads + 2 * n_kv, -1, config.hidden_size).transpose(1, 2)
        w_q, w_k, w_v = heads.split([n_heads, n_kv, n_kv])
        attention = Attention(
            w_q,
            w_k,
            w_v,
            read_out(attn.o_proj, n_heads),
            b_Q=None,
            b_K=None,
            b_V=None,
            b_O=None,
            scale=attn.scaling,
            window=window_of(config, attn.layer_idx),
            rotary=rotary,
        )
        return Block(attention, layer.input_layernorm, layer.post_attention_layernorm, layer.mlp)

    return decoder(hf, map(block, hf.model.layers))


# A norm after attention and another after the MLP


def _normed(norm: nn.Module, module: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: norm(module(x))


def _wide(weight: Tensor) -> Tensor:
    """A norm's weight in the precision that its norm computes in."""
    return weight.detach().to(torch.promote_types(weight.dtype, torch.float32))


def _gemma_block(layer: Any, config: Any, **fields: Any) -> Block:
    attn, after = layer.self_attn, layer.post_attention_layernorm
    attention = separate(
        attn,
        attn.o_proj,
        config,
        window=window_of(config, attn.layer_idx),
        gain=1.0 + _wide(after.weight),
        post_norm_eps=after.eps,
        **fields,
    )
    mlp = _normed(layer.post_feedforward_layernorm, layer.mlp)
    return Block(attention, layer.input_layernorm, layer.pre_feedforward_layernorm, mlp)


def gemma2(hf: Any) -> ModelComponents:
    """Gemma 2: norms before and after each component, soft caps, a window in every other layer."""
    fields = {"rotary": hf.model.rotary_emb, "soft_cap": hf.config.attn_logit_softcapping}
    blocks = [_gemma_block(layer, hf.config, **fields) for layer in hf.model.layers]
    return decoder(hf, blocks, logit_cap=hf.config.final_logit_softcapping)


def gemma3(hf: Any) -> ModelComponents:
    """Gemma 3, text: norms before and after each component and of each head's q and k, other rotary tables in layers
    with a window."""
    config, body = hf.config, hf.model
    tables = {kind: partial(body.rotary_emb, layer_type=kind) for kind in set(config.layer_types)}

    def block(layer: Any) -> Block:
        kind = config.layer_types[layer.layer_idx]
        return _gemma_block(layer, config, rotary=tables[kind], **_head_norms(layer.self_attn))

    return decoder(hf, map(block, body.layers), logit_cap=config.final_logit_softcapping)


def olmo2(hf: Any) -> ModelComponents:
    """OLMo 2: no norm before a component but one after it, and a norm of all heads' q and k side by side."""
    rotary = hf.model.rotary_emb

    def block(layer: Any) -> Block:
        attn, after = layer.self_attn, layer.post_attention_layernorm
        attention = separate(
            attn,
            attn.o_proj,
            hf.config,
            rotary=rotary,
            norm_over_heads=True,
            gain=_wide(after.weight),
            post_norm_eps=after.variance_epsilon,
            **_head_norms(attn),
        )
        return Block(attention, nn.Identity(), nn.Identity(), _normed(layer.post_feedforward_layernorm, layer.mlp))

    return decoder(hf, map(block, hf.model.layers))
