"""OPT."""

from typing import Any

from torch import nn

from acdc.models.components import Block, ModelComponents
from acdc.models.family import Family
from acdc.models.refusals import POST_NORM
from acdc.models.views import decoder, separate

__all__ = ["FAMILIES"]

READS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj")


def opt(hf: Any) -> ModelComponents:
    """OPT: learned positions counted from 2, separate projections, an MLP without a module of its own."""
    body, config = hf.model.decoder, hf.config

    def block(layer: Any) -> Block:
        mlp = nn.Sequential(layer.fc1, layer.activation_fn, layer.fc2)
        attention = separate(layer.self_attn, layer.self_attn.out_proj, config)
        return Block(attention, layer.self_attn_layer_norm, layer.final_layer_norm, mlp)

    return decoder(
        hf,
        map(block, body.layers),
        ln_final=body.final_layer_norm or nn.Identity(),
        embed=lambda ids, positions: body.embed_tokens(ids) + body.embed_positions(None, position_ids=positions),
    )


def opt_post_norm(config: Any) -> str | None:
    """OPT-350m alone normalises after each component and embeds in another width."""
    if not config.do_layer_norm_before:
        return f"{POST_NORM} (do_layer_norm_before is false, as in OPT-350m; the other sizes can be read)"
    if config.word_embed_proj_dim != config.hidden_size:
        return (
            f"its embeddings have another width ({config.word_embed_proj_dim}) than its residual stream "
            f"({config.hidden_size}), as in OPT-350m"
        )
    return None


FAMILIES = {
    "opt": Family("OPT", opt, "OPT but 350m", "learned positions with offset, biases", opt_post_norm, reads=READS)
}
