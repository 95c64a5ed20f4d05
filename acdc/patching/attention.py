"""Attention, the one part of a model that is ours: each head's q, k and v come from inputs of their own.

What a family's attention does beside Llama's (norms, caps, sinks, ALiBi, what becomes of the heads' sum) is written
here once, for every engine: `project_heads` and `project_layer` make q, k and v; `attend_heads` and `attend_layer` make
z; `head_outputs` goes all the way from inputs to z; `head_results` and `constant` say what that adds to the residual
stream.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from acdc.models.components import Attention, Block, index_of
from acdc.patching.layout import Layout, Tables
from acdc.patching.pattern import shares

__all__ = [
    "attend",
    "attend_heads",
    "attend_layer",
    "attn_out",
    "constant",
    "finish",
    "head_outputs",
    "head_results",
    "head_rows",
    "layer_out",
    "layer_z",
    "post_scale",
    "project",
    "project_heads",
    "project_layer",
    "pull_to_heads",
    "rotate",
    "shared",
]

Heads = Sequence[int]

# From so many queries on, and on a GPU always, torch's fused attention is taken. On a CPU it takes .8 of the time below
# at 128 tokens and .4 at 512, but 1.2 to 2 times as long at 20, and several times as long for one query.
LONG = 128


# From inputs to q, k and v


def head_rows(attention: Attention, kind: str) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a layer's q, k or v projection, as they are stored."""
    return {
        "q": (attention.W_Q, attention.b_Q),
        "k": (attention.W_K, attention.b_K),
        "v": (attention.W_V, attention.b_V),
    }[kind]


def project(
    x: Float[Tensor, "n rows d_model"],
    weight: Float[Tensor, "n d_model d_head"],
    bias: Float[Tensor, "n d_head"] | None,
) -> Float[Tensor, "n rows d_head"]:
    """`x W + b` for n heads, each with its own x, computed where the weights lie."""
    there = x.to(weight.device)
    rows = torch.bmm(there, weight) if bias is None else torch.baddbmm(bias[:, None, :], there, weight)
    return rows.to(x.device)


def project_heads(
    attention: Attention, kind: str, x: Float[Tensor, "n *tokens d_model"], heads: Heads, tables: Tables | None
) -> Float[Tensor, "n *tokens d_head"]:
    """q, k or v of some query heads, each from its own normed input, rotated.

    Where one norm acts on all heads side by side (OLMo 2), a head's q is its slice of all heads' q from its own input.
    """
    weight, bias = head_rows(attention, kind)
    stored = [h * len(weight) // attention.n_heads for h in heads]
    if attention.norm_over_heads and kind != "v":
        return torch.stack([project_layer(attention, kind, x[i], tables)[h] for i, h in enumerate(stored)])
    used, n = shared(stored)
    rows = project(x.reshape(n, -1, x.shape[-1]), weight[used], None if bias is None else bias[used])
    return finish(attention, kind, rows.view(*x.shape[:-1], -1), stored, tables)


def shared(stored: Heads) -> tuple[slice | list[int], int]:
    """An index of the weights of these heads, and how many it gives: one where as many neighbours share each, so that
    neither weights of heads that follow each other nor those that heads share are copied."""
    distinct = list(dict.fromkeys(stored))
    group = len(stored) // max(1, len(distinct))
    if list(stored) != [h for h in distinct for _ in range(group)]:
        distinct = list(stored)
    return index_of(distinct), len(distinct)


def project_layer(
    attention: Attention, kind: str, x: Float[Tensor, "*tokens d_model"], tables: Tables | None
) -> Float[Tensor, "n_stored *tokens d_head"]:
    """q, k or v of all heads that are stored (k and v: `n_kv`) from one normed input, rotated."""
    weight, bias = head_rows(attention, kind)
    rows = project(x.reshape(1, -1, x.shape[-1]).expand(len(weight), -1, -1), weight, bias)
    rows = rows.view(len(weight), *x.shape[:-1], -1)
    return finish(attention, kind, rows, range(len(weight)), tables)


def finish(
    attention: Attention, kind: str, rows: Float[Tensor, "n *tokens d_head"], stored: Heads, tables: Tables | None
) -> Float[Tensor, "n *tokens d_head"]:
    """Rows of the projections q, k or v of the heads `stored`: clipped, normalised and rotated."""
    if attention.clip is not None:
        rows = rows.clamp(-attention.clip, attention.clip)
    if kind == "v":
        return rows
    norms = attention.q_norm if kind == "q" else attention.k_norm
    if attention.norm_over_heads:
        flat = rows.movedim(0, -2).flatten(-2)
        rows = norms[0](flat).unflatten(-1, (len(rows), -1)).movedim(-2, 0)
    elif len(norms) == 1:
        rows = norms[0](rows)
    elif norms:
        rows = torch.stack([norms[h](rows[i]) for i, h in enumerate(stored)])
    return rows if tables is None else rotate(rows, *tables, interleaved=attention.interleaved)


def rotate(
    x: Float[Tensor, "*n batch pos d_head"], cos: Tensor, sin: Tensor, *, interleaved: bool = False
) -> Float[Tensor, "*n batch pos d_head"]:
    """Rotary embedding of the first `d_rotary` dimensions (Su et al. 2021).

    Args:
        interleaved: Dimensions 2i and 2i + 1 are paired, not i and i + d_rotary / 2.
    """
    d_rotary = cos.shape[-1]
    turned, rest = x[..., :d_rotary], x[..., d_rotary:]
    if interleaved:
        other = torch.stack([-turned[..., 1::2], turned[..., ::2]], -1).flatten(-2)
    else:
        first, second = turned.chunk(2, -1)
        other = torch.cat([-second, first], -1)
    turned = (turned * cos + other * sin).to(x.dtype)
    return turned if rest.shape[-1] == 0 else torch.cat([turned, rest], -1)


# From q, k and v to z


def attend(
    q: Float[Tensor, "n #copies batch query d_head"],
    k: Float[Tensor, "n #copies batch key d_head"],
    v: Float[Tensor, "n #copies batch key d_head"],
    bias: Float[Tensor, "*n_1 batch query key"],
    scale: float,
    *,
    soft_cap: float | None = None,
    sinks: Float[Tensor, " n"] | None = None,
    softmax: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "n copies_of_any batch query d_head"]:
    """`softmax(scale q kᵀ + bias) v`: the pattern (`acdc.patching.pattern.shares`) times v."""
    if soft_cap is None and sinks is None and softmax is None and bias.ndim == 3 and (q.is_cuda or q.shape[-2] >= LONG):
        return _attend_fused(q, k, v, bias, scale)
    pattern = shares(q, k, bias, scale, soft_cap=soft_cap, sinks=sinks, softmax=softmax)
    return torch.matmul(pattern.to(v.dtype), v)


def _attend_fused(q: Tensor, k: Tensor, v: Tensor, mask: Float[Tensor, "batch query key"], scale: float) -> Tensor:
    """`attend` by torch's kernel, which never holds the pattern; the mask is every head's."""
    copies = max(x.shape[1] for x in (q, k, v))
    q, k, v = (x.expand(-1, copies, -1, -1, -1).flatten(0, 1).transpose(0, 1) for x in (q, k, v))
    z = scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None], scale=scale)
    return z.transpose(0, 1).unflatten(0, (-1, copies))


def attend_heads(
    attention: Attention,
    heads: Heads,
    q: Float[Tensor, "n #copies batch query d_head"],
    k: Float[Tensor, "n #copies batch key d_head"],
    v: Float[Tensor, "n #copies batch key d_head"],
    bias: Float[Tensor, "*n_1 batch query key"],
) -> Float[Tensor, "n copies_of_any batch query d_head"]:
    """z of some heads of a layer, each from its own q, k and v; before a norm after attention, if there is one."""
    sinks = None if attention.sinks is None else attention.sinks[index_of(heads)]
    return attend(q, k, v, bias, attention.scale, soft_cap=attention.soft_cap, sinks=sinks, softmax=attention.softmax)


def attend_layer(
    attention: Attention,
    q: Float[Tensor, "n_heads #copies batch query d_head"],
    k: Float[Tensor, "n_kv #copies batch key d_head"],
    v: Float[Tensor, "n_kv #copies batch key d_head"],
    bias: Float[Tensor, "*n_1 batch query key"],
) -> Float[Tensor, "n_heads copies_of_any batch query d_head"]:
    """z of all heads of a layer.

    With a norm after attention it is divided by `rms(Σ_h z_h W_O)`, so that `gain z_h W_O` sums to the normed output.
    """
    k, v = (x.repeat_interleave(attention.group, 0) for x in (k, v))
    z = attend_heads(attention, range(attention.n_heads), q, k, v, bias)
    scale = post_scale(attention, z)
    return z if scale is None else (z * scale).to(z.dtype)


def post_scale(attention: Attention, z: Float[Tensor, "n_heads *tokens d_head"]) -> Float[Tensor, "*tokens 1"] | None:
    """What a norm after attention multiplies every head's z by, `1 / rms(Σ_h z_h W_O)`; None without such a norm."""
    if attention.post_norm_eps is None:
        return None
    total = _mapped(attention, z)
    precise = total if total.dtype == torch.float64 else total.float()
    return torch.rsqrt(precise.pow(2).mean(-1, keepdim=True) + attention.post_norm_eps)


def head_outputs(
    attention: Attention,
    heads: Heads,
    inputs: dict[str, Float[Tensor, "n batch pos d_model"]],
    layout: Layout,
) -> Float[Tensor, "n batch pos d_head"]:
    """z of some heads, each from normed q, k and v inputs of its own.

    Where heads share a norm after attention, a head's z is its slice of what the whole layer would give on that head's
    inputs: a head depends on its own inputs alone.
    """
    tables = layout.rotary(attention)
    if attention.post_norm_eps is None:
        q, k, v = (project_heads(attention, kind, inputs[kind], heads, tables)[:, None] for kind in ("q", "k", "v"))
        return attend_heads(attention, heads, q, k, v, layout.bias_of(attention, heads))[:, 0]
    found = []
    for i, h in enumerate(heads):
        q, k, v = (project_layer(attention, kind, inputs[kind][i], tables)[:, None] for kind in ("q", "k", "v"))
        found.append(attend_layer(attention, q, k, v, layout.bias_of(attention))[h, 0])
    return torch.stack(found)


# From z to the residual stream


def head_results(
    attention: Attention, z: Float[Tensor, "n *tokens d_head"], heads: Heads
) -> Float[Tensor, "n *tokens d_model"]:
    """What some heads add to the residual stream, each head's `result`: `gain z W_O`."""
    weight = attention.W_O[index_of(heads)]
    out = torch.bmm(z.flatten(1, -2).to(weight.device), weight).to(z.device)
    return _gained(attention, out).view(*z.shape[:-1], -1)


def pull_to_heads(
    attention: Attention, g: Float[Tensor, "*tokens d_model"], heads: Heads
) -> Float[Tensor, "n *tokens d_head"]:
    """The gradient of some heads' z, from that of what they add to the residual stream."""
    weight = attention.W_O[index_of(heads)]
    rows = (_gained(attention, g).to(weight.device) @ weight.flatten(0, 1).T).to(g.device)
    return rows.unflatten(-1, weight.shape[:2]).movedim(-2, 0)


def attn_out(attention: Attention, z: Float[Tensor, "n_heads *tokens d_head"]) -> Float[Tensor, "*tokens d_model"]:
    """What all heads of a layer add to the residual stream, without the constant."""
    return _gained(attention, _mapped(attention, z))


def constant(attention: Attention) -> Float[Tensor, " d_model"] | None:
    """What a layer's attention adds that belongs to no head: its output bias."""
    return None if attention.b_O is None else _gained(attention, attention.b_O)


def _mapped(attention: Attention, z: Float[Tensor, "n_heads *tokens d_head"]) -> Float[Tensor, "*tokens d_model"]:
    """`Σ_h z_h W_O`: a product of two matrices, for which einsum would copy the weights."""
    weight = attention.W_O.flatten(0, 1)
    return (z.movedim(0, -2).flatten(-2).to(weight.device) @ weight).to(z.device)


def layer_z(
    block: Block, x: Float[Tensor, "batch pos d_model"], layout: Layout
) -> Float[Tensor, "head batch pos d_head"]:
    """z of all heads of a layer that read one residual stream."""
    attention, y, tables = block.attention, block.ln1(x), layout.rotary(block.attention)
    q, k, v = (project_layer(attention, kind, y, tables)[:, None] for kind in ("q", "k", "v"))
    return attend_layer(attention, q, k, v, layout.bias_of(attention))[:, 0]


def layer_out(block: Block, z: Float[Tensor, "head *tokens d_head"]) -> Float[Tensor, "*tokens d_model"]:
    """What a layer's attention adds to the residual stream, what belongs to no head included."""
    out, bias = attn_out(block.attention, z), constant(block.attention)
    return out if bias is None else out + bias


def _gained(attention: Attention, out: Tensor) -> Tensor:
    return out if attention.gain is None else (out * attention.gain).to(out.dtype)
