"""The gradient engine: the gradient of the loss at every destination's own input, layer by layer, for some prompts.

A run is cut at the blocks: only the residual streams that the destinations read are kept. The backward pass goes from
the logits down, makes each block's graph anew from its stream, and drops it before the next. Every destination has a
copy of the stream of its own, so that gradients of heads' q, k and v inputs come apart; their sum goes on downwards.
No gradient of a weight is computed. Where the microbatch has backward rules, they take the place of derivatives.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.models.components import Attention, Block
from acdc.patching.attention import attend_heads, finish, head_outputs, head_rows, project, pull_to_heads, shared
from acdc.patching.background import is_joint
from acdc.patching.gradient.forward import summed_loss
from acdc.patching.gradient.microbatch import Microbatch
from acdc.patching.gradient.streams import ResidualStreams
from acdc.patching.layout import Layout

__all__ = ["backward", "loss_gradient", "through_block"]

Read = Callable[[int, Tensor], None]  # first destination, [n rows d_model]
Wrote = Callable[[int, Tensor], None]  # first source, [n batch pos d_head] of heads, [1 batch pos d_model] of others


def loss_gradient(microbatch: Microbatch, streams: ResidualStreams) -> Float[Tensor, "batch d_model"]:
    """`∂ Σ loss / ∂x_logits` at the last position."""
    with torch.enable_grad(), microbatch.rules.norms():
        x = streams.final[:, -1].detach().requires_grad_()
        return torch.autograd.grad(summed_loss(microbatch, x), x)[0]


@torch.no_grad()
def backward(
    microbatch: Microbatch, streams: ResidualStreams, *, read: Read | None = None, wrote: Wrote | None = None
) -> None:
    """Go from the logits down to where `streams` begin.

    Args:
        read: Called with the first of some destinations that follow each other and `∂ Σ loss / ∂x_d` at the
            microbatch's rows, `[n rows d_model]`; for the logits at the last position,
            `[1 batch d_model]`.
        wrote: Called with the first of some sources that follow each other and `∂ Σ loss / ∂out_s` everywhere: of heads
            in head space.
    """
    graph = microbatch.model.graph
    at_last = loss_gradient(microbatch, streams)
    if read is not None:
        read(graph.n_dst - 1, at_last[None])
    g = torch.zeros_like(streams.final)
    g[:, -1] = at_last
    for layer in reversed(range(graph.n_layers)):
        g = through_block(microbatch, layer, streams, g, read=read, wrote=wrote)
        if layer not in streams.resid_pre:
            break
    if wrote is not None and 0 in streams.resid_pre:
        wrote(0, g[None])


def through_block(
    microbatch: Microbatch,
    layer: int,
    streams: ResidualStreams,
    g: Float[Tensor, "batch pos d_model"],
    *,
    read: Read | None = None,
    wrote: Wrote | None = None,
) -> Float[Tensor, "batch pos d_model"]:
    """The gradient of the stream that a block reads, from `g`, that of the stream that leaves it.

    Args:
        read, wrote: As in `backward`.
    """
    graph, block, above, at_mlp = microbatch.model.graph, microbatch.blocks[layer], g, None
    with microbatch.rules.norms():
        if wrote is not None and layer in streams.resid_mid:
            wrote(graph.mlp_src(layer), g[None])
        if layer in streams.resid_mid and streams.cut != ("mlp", layer):
            change = pull_back(partial(_mlp, block), streams.resid_mid[layer], g)
            at_mlp = change.flatten(0, 1)[None, microbatch.rows]
            g = g + change
        cut = layer not in streams.resid_pre or streams.cut == ("attention", layer)
        if read is not None and at_mlp is not None and (cut or microbatch.heads_at_once < graph.n_heads):
            read(graph.mlp_dst(layer), at_mlp)
            at_mlp = None
        if layer in streams.resid_pre and (not cut or wrote is not None):
            written = above if graph.parallel else g
            g = g + _through_heads(microbatch, layer, streams, written, at_mlp, read, wrote)
    return g


def _through_heads(
    microbatch: Microbatch,
    layer: int,
    streams: ResidualStreams,
    g: Float[Tensor, "batch pos d_model"],
    at_mlp: Float[Tensor, "1 rows d_model"] | None,
    read: Read | None,
    wrote: Wrote | None,
) -> Float[Tensor, "batch pos d_model"]:
    """What attention adds to the gradient of the stream that it reads.

    Args:
        g: The gradient of what it writes.
        at_mlp: That of the layer's MLP's input, if it is to be read with those of all heads, which it follows.
    """
    graph, block, x = microbatch.model.graph, microbatch.blocks[layer], streams.resid_pre[layer]
    y, total = block.ln1(x), torch.zeros_like(x)
    for first in range(0, graph.n_heads, microbatch.heads_at_once):
        heads = range(first, min(first + microbatch.heads_at_once, graph.n_heads))
        at_z = pull_to_heads(block.attention, g, heads)
        if wrote is not None:
            wrote(graph.head_src(layer, first), at_z)
        if streams.cut == ("attention", layer):
            continue
        at_y = torch.cat(microbatch.rules.scaled(_at_inputs(block.attention, heads, y, at_z, microbatch.layout)))
        total += at_y.sum(0).view_as(total)
        if read is not None:
            rows = microbatch.rows
            at_y = at_y if len(rows) == at_y.shape[1] else at_y[:, rows]
            at_x = pull_back(block.ln1, x.flatten(0, 1)[rows].expand_as(at_y), at_y)
            if len(heads) == graph.n_heads:
                read(graph.head_dst(layer, "q"), at_x if at_mlp is None else torch.cat([at_x, at_mlp]))
            else:
                for kind, of_kind in zip(QKV, at_x.chunk(3), strict=True):
                    read(graph.head_dst(layer, kind, first), of_kind)
    return pull_back(block.ln1, x, total)


def pull_back(
    function: Callable[[Tensor], Tensor], x: Float[Tensor, "*n"], g: Float[Tensor, "*n"]
) -> Float[Tensor, "*n"]:
    """`gᵀ ∂function/∂x` at x; no other gradient is computed."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(function(leaf), leaf, g)[0]


def _mlp(block: Block, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
    """What a layer's MLP writes."""
    return block.mlp(block.ln2(x))


def _at_inputs(
    attention: Attention,
    heads: range,
    y: Float[Tensor, "batch pos d_model"],
    at_z: Float[Tensor, "n batch pos d_head"],
    layout: Layout,
) -> list[Float[Tensor, "n batch_pos d_model"]]:
    """The gradients of the heads' normed q, k and v inputs, which are all `y`."""
    if is_joint(attention):  # a head is a slice of the whole layer
        with torch.enable_grad():
            leaves = {kind: y.detach().expand(len(heads), *y.shape).clone().requires_grad_() for kind in QKV}
            z = head_outputs(attention, heads, leaves, layout)
            grads = torch.autograd.grad(z, [leaves[kind] for kind in QKV], at_z)
        return [grad.flatten(1, 2) for grad in grads]
    with torch.enable_grad():
        raw = {kind: _project(attention, kind, y, heads).detach().requires_grad_() for kind in QKV}
        grads = torch.autograd.grad(_z(attention, heads, raw, layout), [raw[kind] for kind in QKV], at_z)
    return [_pull(attention, kind, g.flatten(1, 2), heads) for kind, g in zip(QKV, grads, strict=True)]


def _pull(
    attention: Attention, kind: str, g: Float[Tensor, "n batch_pos d_head"], heads: range
) -> Float[Tensor, "n batch_pos d_model"]:
    """`g Wᵀ` of some query heads."""
    weight = head_rows(attention, kind)[0]
    used, n = shared(_stored(weight, heads, attention))
    there = g.reshape(n, -1, g.shape[-1]).to(weight.device)
    return torch.bmm(there, weight[used].mT).to(g.device).view(*g.shape[:-1], -1)


def _project(
    attention: Attention, kind: str, y: Float[Tensor, "batch pos d_model"], heads: range
) -> Float[Tensor, "n batch pos d_head"]:
    """`y W + b` of some query heads, each with its own copy of k and v."""
    weight, bias = head_rows(attention, kind)
    stored = _stored(weight, heads, attention)
    used, n = shared(stored)
    x = y.reshape(1, -1, y.shape[-1]).expand(n, -1, -1)
    out = project(x, weight[used], None if bias is None else bias[used])
    return out.repeat_interleave(len(stored) // n, 0).unflatten(1, y.shape[:2])


def _stored(weight: Float[Tensor, "n_stored *rest"], heads: range, attention: Attention) -> list[int]:
    """Which of the stored heads these query heads use."""
    return [h * len(weight) // attention.n_heads for h in heads]


def _z(
    attention: Attention, heads: range, raw: dict[str, Float[Tensor, "n batch pos d_head"]], layout: Layout
) -> Float[Tensor, "n batch pos d_head"]:
    """Attention's result from the projections."""
    tables, shared = layout.rotary(attention), [h // attention.group for h in heads]
    q, k, v = (finish(attention, kind, raw[kind], heads if kind == "q" else shared, tables)[:, None] for kind in QKV)
    return attend_heads(attention, heads, q, k, v, layout.bias_of(attention, heads))[:, 0]
