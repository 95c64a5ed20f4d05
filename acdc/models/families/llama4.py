"""Llama 4, text."""

from typing import Any

import torch
from torch import Tensor

from acdc.errors import ModelError
from acdc.models.components import Block, ModelComponents, Rotary
from acdc.models.family import Family
from acdc.models.views import PerToken, decoder, separate

__all__ = ["FAMILIES"]


def llama4(hf: Any) -> ModelComponents:
    """Llama 4: experts in some layers, no rotation in some, rotated q and k normalised without weights.

    That norm comes after the rotation, which keeps lengths, so that it's the same before it. Two things begin in long
    prompts only, and so bound them: attention in chunks, and scores that grow where nothing is rotated.
    """
    config, rotary = hf.config, hf.model.rotary_emb
    if rotary.attention_scaling != 1:
        raise ModelError(f"its rotation changes lengths (rope_type {rotary.rope_type!r}), before a norm of q and k")
    tables = _real_tables(rotary)

    def block(layer: Any) -> Block:
        attn, mlp = layer.self_attn, layer.feed_forward
        norms = {"q_norm": (attn.qk_norm,), "k_norm": (attn.qk_norm,)} if hasattr(attn, "qk_norm") else {}
        attention = separate(
            attn, attn.o_proj, config, rotary=tables if attn.use_rope else None, interleaved=True, **norms
        )
        if layer.is_moe_layer:
            mlp = PerToken(mlp)
        return Block(attention, layer.input_layernorm, layer.post_attention_layernorm, mlp)

    bounds = [config.attention_chunk_size, config.floor_scale - 1 if config.attn_temperature_tuning else None]
    n_context = min((int(bound) for bound in bounds if bound), default=None)
    return decoder(hf, map(block, hf.model.layers), ln_final=hf.model.norm, n_context=n_context)


def _real_tables(rotary: Any) -> Rotary:
    """Cosines and sines of tables that are complex numbers."""

    def tables(x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        turn = torch.view_as_real(rotary(x, positions))
        cos, sin = turn.unbind(-1)
        return cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)

    return tables


FAMILIES = {
    "llama4_text": Family("Llama 4", llama4, "Llama 4 text models", "GQA, experts and rotary by layer, q/k norm"),
}
