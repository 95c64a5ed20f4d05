"""GPT-J."""

from typing import Any

from torch import Tensor

from acdc.models.components import Block, ModelComponents, Rotary
from acdc.models.family import Family
from acdc.models.views import decoder, separate

__all__ = ["FAMILIES"]


def gptj(hf: Any) -> ModelComponents:
    """GPT-J: parallel blocks with one norm, rotation of neighbouring dimensions of a part of each head."""
    body, config = hf.transformer, hf.config

    def block(layer: Any) -> Block:
        attention = separate(
            layer.attn, layer.attn.out_proj, config, scale=1 / layer.attn.scale_attn, rotary=rotary, interleaved=True
        )
        return Block(attention, layer.ln_1, layer.ln_1, layer.mlp)

    rotary = _interleaved_tables(body.h[0].attn)
    return decoder(hf, map(block, body.h), ln_final=body.ln_f, parallel=True)


def _interleaved_tables(attn: Any) -> Rotary:
    def tables(x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        sin, cos = attn.embed_positions.to(x.device)[positions].to(x.dtype).chunk(2, -1)
        return cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)

    return tables


FAMILIES = {
    "gptj": Family(
        "GPT-J",
        gptj,
        "GPT-J-6B",
        "parallel blocks, one norm, interleaved partial rotary",
        reads=("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.out_proj"),
    )
}
