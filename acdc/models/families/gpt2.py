"""GPT-2."""

from typing import Any

from acdc.models.components import Attention, Block, ModelComponents
from acdc.models.family import Family
from acdc.models.views import decoder

__all__ = ["FAMILIES"]


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

    return decoder(
        hf, map(block, body.h), ln_final=body.ln_f, embed=lambda ids, positions: body.wte(ids) + body.wpe(positions)
    )


FAMILIES = {
    "gpt2": Family(
        "GPT-2",
        gpt2,
        "GPT-2, DistilGPT-2",
        "learned positions, scaling by layer, tied and untied",
        reads=("attn.c_attn", "attn.c_proj"),
    )
}
