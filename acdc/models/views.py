"""What the declarations of families share: weights seen per head, modules seen as functions of tokens, and Llama.

An MLP and what follows it (a norm, a multiplier) are modules, so that others can see what is inside.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from acdc.models.components import Attention, Block, Embed, ModelComponents, Norm, Rotary

__all__ = [
    "QKV_NAMES",
    "Fields",
    "PerToken",
    "Scaled",
    "decoder",
    "head_norms",
    "in_full_precision",
    "llama",
    "per_head_qkv",
    "read_out",
    "separate",
    "whole_tables",
    "window_of",
]

QKV_NAMES = ("W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V")
Fields = Callable[[Any], dict[str, Any]]  # of a layer's attention module


def read_in(linear: nn.Linear, n_heads: int) -> Tensor:
    """A projection from the residual stream, `[n_heads d_model d_head]`."""
    return linear.weight.view(n_heads, -1, linear.in_features).transpose(1, 2)


def read_out(linear: nn.Linear, n_heads: int) -> Tensor:
    """A projection to the residual stream, `[n_heads d_head d_model]`."""
    return linear.weight.view(linear.out_features, n_heads, -1).permute(1, 2, 0)


def split_bias(linear: nn.Linear, n_heads: int) -> Tensor | None:
    """A projection's bias, `[n_heads d_head]`."""
    return None if linear.bias is None else linear.bias.view(n_heads, -1)


def separate(attn: Any, out: nn.Linear, config: Any, **fields: Any) -> Attention:
    """Attention with its projections in `q_proj`, `k_proj`, `v_proj` and `out`; `fields` are the others' values."""
    n_heads = config.num_attention_heads
    n_kv = getattr(config, "num_key_value_heads", None) or n_heads
    named: dict[str, Any] = {"scale": getattr(attn, "scaling", None)}
    return Attention(
        W_Q=read_in(attn.q_proj, n_heads),
        W_K=read_in(attn.k_proj, n_kv),
        W_V=read_in(attn.v_proj, n_kv),
        W_O=read_out(out, n_heads),
        b_Q=split_bias(attn.q_proj, n_heads),
        b_K=split_bias(attn.k_proj, n_kv),
        b_V=split_bias(attn.v_proj, n_kv),
        b_O=out.bias,
        **named | fields,
    )


def decoder(
    hf: Any, blocks: Iterable[Block], *, ln_final: Norm, embed: Embed | None = None, **fields: Any
) -> ModelComponents:
    """The whole model; `embed` is its embedding layer, unless positions are embedded too."""
    tokens, head = hf.get_input_embeddings(), hf.get_output_embeddings()
    return ModelComponents(
        embed=embed or (lambda ids, positions: tokens(ids)),
        blocks=tuple(blocks),
        ln_final=ln_final,
        unembed=head.weight,
        unembed_bias=head.bias,
        **fields,
    )


def llama(
    hf: Any, fields: Fields = lambda attn: {}, mlp: Callable[[Any], nn.Module] = lambda module: module
) -> ModelComponents:
    """Llama, Mistral, Qwen2 and Gemma: grouped-query attention, perhaps a window and biases."""
    rotary = hf.model.rotary_emb

    def block(layer: Any) -> Block:
        attn = layer.self_attn
        window = window_of(hf.config, attn.layer_idx)
        attention = separate(attn, attn.o_proj, hf.config, **{"rotary": rotary, "window": window} | fields(attn))
        return Block(attention, layer.input_layernorm, layer.post_attention_layernorm, mlp(layer.mlp))

    return decoder(hf, map(block, hf.model.layers), ln_final=hf.model.norm)


class PerToken(nn.Module):
    """A mixture of experts as a function of tokens `[*tokens d_model]`: it wants a batch and may return more."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        out = self.module(x.reshape(1, -1, x.shape[-1]))
        return (out[0] if isinstance(out, tuple) else out).view(x.shape)


class Scaled(nn.Module):
    """A residual multiplier."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def window_of(config: Any, layer: int) -> int | None:
    """The sliding window of a layer: in all layers, or in those that `layer_types` names."""
    types = getattr(config, "layer_types", None)
    if types is not None and types[layer] != "sliding_attention":
        return None
    return getattr(config, "sliding_window", None)


def whole_tables(rotary: Rotary) -> Rotary:
    """Tables of half a rotation's width, doubled: each pair turns by one angle."""

    def tables(x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = rotary(x, positions)
        return torch.cat([cos, cos], -1), torch.cat([sin, sin], -1)

    return tables


def per_head_qkv(fused: nn.Linear, n_heads: int) -> dict[str, Any]:
    """Weights and biases where each head's q, k and v stand side by side."""
    weights = fused.weight.view(n_heads, 3, -1, fused.in_features).transpose(2, 3).unbind(1)
    biases = (None,) * 3 if fused.bias is None else fused.bias.view(n_heads, 3, -1).unbind(1)
    return dict(zip(QKV_NAMES, (*weights, *biases), strict=True))


def head_norms(attn: Any) -> dict[str, Any]:
    """The one norm of every head's q, and that of every head's k."""
    return {"q_norm": (attn.q_norm,), "k_norm": (attn.k_norm,)}


def in_full_precision(weight: Tensor) -> Tensor:
    """A norm's weight in the precision that its norm computes in."""
    return weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
