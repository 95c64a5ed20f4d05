"""StableLM."""

from typing import Any

from acdc.models.components import Block, ModelComponents
from acdc.models.family import Family
from acdc.models.views import decoder, separate

__all__ = ["FAMILIES"]


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

    return decoder(hf, map(block, hf.model.layers), ln_final=hf.model.norm, parallel=bool(config.use_parallel_residual))


FAMILIES = {
    "stablelm": Family(
        "StableLM", stablelm, "StableLM 3B, 2 1.6B and 12B", "GQA, parallel and serial, q/k norm of each head"
    )
}
