"""OLMo."""

from typing import Any

from torch import nn

from acdc.models.components import Block, ModelComponents
from acdc.models.family import NORMED, Family
from acdc.models.refusals import biased_post_norm
from acdc.models.views import decoder, head_norms, in_full_precision, llama, normed, separate

__all__ = ["FAMILIES"]


def olmo(hf: Any) -> ModelComponents:
    """OLMo: Llama with norms that have no weights, and q, k and v clipped."""
    return llama(hf, lambda attn: {"clip": hf.config.clip_qkv})


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
            gain=in_full_precision(after.weight),
            post_norm_eps=after.variance_epsilon,
            **head_norms(attn),
        )
        return Block(attention, nn.Identity(), nn.Identity(), normed(layer.post_feedforward_layernorm, layer.mlp))

    return decoder(hf, map(block, hf.model.layers), ln_final=hf.model.norm)


FAMILIES = {
    "olmo": Family("OLMo", olmo, "OLMo", "MHA, GQA, clipped q, k and v, norms without weights"),
    "olmo2": Family(
        "OLMo 2", olmo2, "OLMo 2", "MHA, GQA, q/k norm over heads, post-norms alone", biased_post_norm, NORMED
    ),
}
