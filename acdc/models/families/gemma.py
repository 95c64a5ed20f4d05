"""Gemma 2 and 3: norms before and after each component."""

from functools import partial
from typing import Any

from torch import nn

from acdc.models.components import Block, ModelComponents
from acdc.models.family import NORMED, Family
from acdc.models.refusals import biased_post_norm
from acdc.models.views import decoder, head_norms, in_full_precision, separate, window_of

__all__ = ["FAMILIES"]


def _gemma_block(layer: Any, config: Any, **fields: Any) -> Block:
    attn, after = layer.self_attn, layer.post_attention_layernorm
    attention = separate(
        attn,
        attn.o_proj,
        config,
        window=window_of(config, attn.layer_idx),
        gain=1.0 + in_full_precision(after.weight),
        post_norm_eps=after.eps,
        **fields,
    )
    mlp = nn.Sequential(layer.mlp, layer.post_feedforward_layernorm)
    return Block(attention, layer.input_layernorm, layer.pre_feedforward_layernorm, mlp)


def gemma2(hf: Any) -> ModelComponents:
    """Gemma 2: norms before and after each component, soft caps, a window in every other layer."""
    fields = {"rotary": hf.model.rotary_emb, "soft_cap": hf.config.attn_logit_softcapping}
    blocks = [_gemma_block(layer, hf.config, **fields) for layer in hf.model.layers]
    return decoder(hf, blocks, ln_final=hf.model.norm, logit_cap=hf.config.final_logit_softcapping)


def gemma3(hf: Any) -> ModelComponents:
    """Gemma 3, text: norms before and after each component and of each head's q and k, other rotary tables in layers
    with a window."""
    return _gemma3(hf, hf.model, hf.config)


def gemma3_of_multimodal(hf: Any) -> ModelComponents:
    """The text part of a Gemma 3 that reads images too."""
    return _gemma3(hf, hf.model.language_model, hf.config.text_config)


def _gemma3(hf: Any, body: Any, config: Any) -> ModelComponents:
    tables = {kind: partial(body.rotary_emb, layer_type=kind) for kind in set(config.layer_types)}

    def block(layer: Any) -> Block:
        kind = config.layer_types[layer.layer_idx]
        return _gemma_block(layer, config, rotary=tables[kind], **head_norms(layer.self_attn))

    return decoder(hf, map(block, body.layers), ln_final=body.norm, logit_cap=config.final_logit_softcapping)


FAMILIES = {
    "gemma2": Family(
        "Gemma 2", gemma2, "Gemma 2", "GQA, soft caps, sliding window by layer, post-norms", biased_post_norm, NORMED
    ),
    "gemma3_text": Family(
        "Gemma 3",
        gemma3,
        "Gemma 3 270M and 1B, text models",
        "GQA, q/k norm, sliding window and rotary by layer, post-norms",
        biased_post_norm,
        NORMED,
    ),
    "gemma3": Family(
        "Gemma 3 multimodal",
        gemma3_of_multimodal,
        "Gemma 3 4B, 12B and 27B, prompts without images",
        "as the text model",
        lambda config: biased_post_norm(config.text_config),
        NORMED,
    ),
}
