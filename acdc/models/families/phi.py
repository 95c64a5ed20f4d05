"""Phi."""

from typing import Any

from acdc.models.components import Attention, Block, ModelComponents
from acdc.models.family import Family
from acdc.models.views import decoder, read_out, separate, window_of

__all__ = ["FAMILIES"]


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

    return decoder(hf, map(block, hf.model.layers), ln_final=hf.model.norm)


FAMILIES = {
    "phi": Family(
        "Phi",
        phi,
        "Phi-1, 1.5 and 2",
        "MHA, GQA, q/k norm, parallel blocks, partial rotary, biases",
        reads=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.dense"),
    ),
    "phi3": Family(
        "Phi-3",
        phi3,
        "Phi-3, Phi-3.5-mini, Phi-4",
        "MHA, GQA, sliding window, partial rotary",
        reads=("self_attn.qkv_proj", "self_attn.o_proj"),
    ),
}
