"""Cohere's Command: parallel blocks with one norm, rotation of neighbouring dimensions, scaled logits."""

from typing import Any

from torch import Tensor
from torch.func import functional_call

from acdc.models.components import Block, ModelComponents, Norm
from acdc.models.family import Family
from acdc.models.views import Fields, decoder, separate, window_of

__all__ = ["FAMILIES"]


def _parallel(hf: Any, fields: Fields) -> ModelComponents:
    def block(layer: Any) -> Block:
        attn = layer.self_attn
        named = {"rotary": hf.model.rotary_emb, "window": window_of(hf.config, attn.layer_idx)} | fields(attn)
        attention = separate(attn, attn.o_proj, hf.config, interleaved=True, **named)
        return Block(attention, layer.input_layernorm, layer.input_layernorm, layer.mlp)

    blocks = map(block, hf.model.layers)
    return decoder(hf, blocks, ln_final=hf.model.norm, parallel=True, logit_divisor=1 / hf.config.logit_scale)


def cohere(hf: Any) -> ModelComponents:
    """Command R and R+: perhaps a norm for each head's q and k."""

    def norms(attn: Any) -> dict[str, Any]:
        return {"q_norm": _by_head(attn.q_norm), "k_norm": _by_head(attn.k_norm)} if attn.use_qk_norm else {}

    return _parallel(hf, norms)


def _by_head(norm: Any) -> tuple[Norm, ...]:
    """A norm whose weights are `[n_heads d_head]`, head by head."""

    def of_head(h: int) -> Norm:
        def normed(x: Tensor) -> Tensor:
            return functional_call(norm, {"weight": norm.weight[h]}, (x,))

        return normed

    return tuple(of_head(h) for h in range(len(norm.weight)))


def cohere2(hf: Any) -> ModelComponents:
    """Command R7B and A: a window and a rotation in three layers of four, neither in the fourth."""
    return _parallel(hf, lambda attn: {} if attn.sliding_window is not None else {"rotary": None})


FAMILIES = {
    "cohere": Family("Cohere", cohere, "Command R, R+, Aya", "GQA, parallel blocks, q/k norm of each head, biases"),
    "cohere2": Family("Cohere 2", cohere2, "Command R7B, Command A", "GQA, parallel blocks, window, rotary by layer"),
}
