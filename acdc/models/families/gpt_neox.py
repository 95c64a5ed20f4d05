"""GPT-NeoX and Pythia."""

from typing import Any

from acdc.models.components import Attention, Block, ModelComponents
from acdc.models.family import Family
from acdc.models.views import decoder, per_head_qkv, read_out

__all__ = ["FAMILIES"]


def gpt_neox(hf: Any) -> ModelComponents:
    """GPT-NeoX and Pythia: rotary on a part of each head; q, k and v of each head side by side in one projection."""
    body, config = hf.gpt_neox, hf.config
    n_heads = config.num_attention_heads

    def block(layer: Any) -> Block:
        attn, dense = layer.attention, layer.attention.dense
        attention = Attention(
            **per_head_qkv(attn.query_key_value, n_heads),
            W_O=read_out(dense, n_heads),
            b_O=dense.bias,
            scale=attn.scaling,
            rotary=body.rotary_emb,
        )
        return Block(attention, layer.input_layernorm, layer.post_attention_layernorm, layer.mlp)

    return decoder(
        hf, map(block, body.layers), ln_final=body.final_layer_norm, parallel=bool(config.use_parallel_residual)
    )


FAMILIES = {
    "gpt_neox": Family(
        "GPT-NeoX",
        gpt_neox,
        "Pythia, GPT-NeoX-20B",
        "parallel and serial, partial rotary",
        reads=("attention.query_key_value", "attention.dense"),
    )
}
