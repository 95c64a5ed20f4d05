"""GPT-Neo."""

from typing import Any

from acdc.models.components import Block, ModelComponents
from acdc.models.family import Family
from acdc.models.views import decoder, separate

__all__ = ["FAMILIES"]


def gpt_neo(hf: Any) -> ModelComponents:
    """GPT-Neo: GPT-2 with separate projections, scores without a scale, and a window in every other layer."""
    body, config = hf.transformer, hf.config

    def block(layer: Any) -> Block:
        attn = layer.attn.attention
        window = config.window_size if attn.attention_type == "local" else None
        attention = separate(attn, attn.out_proj, config, scale=1.0, window=window)
        return Block(attention, layer.ln_1, layer.ln_2, layer.mlp)

    return decoder(
        hf, map(block, body.h), ln_final=body.ln_f, embed=lambda ids, positions: body.wte(ids) + body.wpe(positions)
    )


FAMILIES = {
    "gpt_neo": Family(
        "GPT-Neo",
        gpt_neo,
        "GPT-Neo, TinyStories",
        "global and local layers, unscaled scores",
        reads=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj", "attn.attention.out_proj"),
    )
}
