"""OLMo."""

from functools import partial
from typing import Any

from torch import nn

from acdc.models.components import Block, ModelComponents
from acdc.models.family import NORMED, Family
from acdc.models.refusals import biased_post_norm
from acdc.models.views import (
    Fields,
    PerToken,
    decoder,
    head_norms,
    in_full_precision,
    llama,
    separate,
    window_of,
)

__all__ = ["FAMILIES"]


def olmo(hf: Any) -> ModelComponents:
    """OLMo: Llama with norms that have no weights, and q, k and v clipped."""
    return llama(hf, lambda attn: {"clip": hf.config.clip_qkv})


def olmoe(hf: Any) -> ModelComponents:
    """OLMoE: Llama with a norm of all heads' q and k side by side, and a mixture of experts as its MLP."""
    return llama(hf, lambda attn: {"norm_over_heads": True, **head_norms(attn)}, PerToken)


def _clipped(config: Any) -> str | None:
    """No released OLMoE is."""
    if config.clip_qkv is not None:
        return "its q and k are clipped after their norm (clip_qkv), which is not supported"
    return None


def olmo2(hf: Any) -> ModelComponents:
    """OLMo 2: no norm before a component but one after it, and a norm of all heads' q and k side by side."""
    return _normed_after(hf, lambda attn: {"rotary": hf.model.rotary_emb})


def olmo3(hf: Any) -> ModelComponents:
    """OLMo 3: OLMo 2 with a window in three layers of four, and other rotary tables there."""
    config = hf.config
    tables = {kind: partial(hf.model.rotary_emb, layer_type=kind) for kind in set(config.layer_types)}
    return _normed_after(
        hf, lambda attn: {"rotary": tables[attn.attention_type], "window": window_of(config, attn.layer_idx)}
    )


def _normed_after(hf: Any, fields: Fields) -> ModelComponents:
    def block(layer: Any) -> Block:
        attn, after = layer.self_attn, layer.post_attention_layernorm
        attention = separate(
            attn,
            attn.o_proj,
            hf.config,
            norm_over_heads=True,
            gain=in_full_precision(after.weight),
            post_norm_eps=after.variance_epsilon,
            **head_norms(attn),
            **fields(attn),
        )
        mlp = nn.Sequential(layer.mlp, layer.post_feedforward_layernorm)
        return Block(attention, nn.Identity(), nn.Identity(), mlp)

    return decoder(hf, map(block, hf.model.layers), ln_final=hf.model.norm)


FAMILIES = {
    "olmo": Family("OLMo", olmo, "OLMo", "MHA, GQA, clipped q, k and v, norms without weights"),
    "olmoe": Family("OLMoE", olmoe, "OLMoE-1B-7B", "MHA, GQA, q/k norm over heads, experts", _clipped),
    "olmo2": Family(
        "OLMo 2", olmo2, "OLMo 2", "MHA, GQA, q/k norm over heads, post-norms alone", biased_post_norm, NORMED
    ),
    "olmo3": Family(
        "OLMo 3",
        olmo3,
        "OLMo 3",
        "GQA, q/k norm over heads, post-norms alone, sliding window and rotary by layer",
        biased_post_norm,
        NORMED,
    ),
}
