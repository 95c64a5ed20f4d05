"""What the declarations share: weights seen per head, and modules seen as functions of tokens."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from acdc.models.components import Attention, Block, ModelComponents, Rotary

__all__ = ["decoder", "per_token", "read_in", "read_out", "separate", "split_bias", "whole_tables", "window_of"]


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


def decoder(hf: Any, blocks: Iterable[Block], **fields: Any) -> ModelComponents:
    """A model with `model.embed_tokens`, `model.norm` and `lm_head`; `fields` replace or add to these."""
    body = hf.model
    named: dict[str, Any] = {
        "embed": lambda ids, positions: body.embed_tokens(ids),
        "ln_final": body.norm if "ln_final" not in fields else None,
        "unembed": hf.lm_head.weight,
        "unembed_bias": hf.lm_head.bias,
    }
    return ModelComponents(blocks=tuple(blocks), **named | fields)


def per_token(module: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    """A mixture of experts as a function of tokens `[*tokens d_model]`: it wants a batch and may return more."""

    def of_tokens(x: Tensor) -> Tensor:
        out = module(x.reshape(1, -1, x.shape[-1]))
        return (out[0] if isinstance(out, tuple) else out).view(x.shape)

    return of_tokens


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
