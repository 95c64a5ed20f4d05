"""The gradient engine: the gradient of the loss at every destination's own input, layer by layer, for some prompts.

A run is cut at the blocks: only the residual streams that the destinations read are kept. The backward pass goes from
the logits down, makes each block's graph anew from its stream, and drops it before the next. Every destination has a
copy of the stream of its own, so that gradients of heads' q, k and v inputs come apart; their sum goes on downwards.
No gradient of a weight is computed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.metrics import Objective
from acdc.models import PatchableModel
from acdc.models.components import Attention, Block, index_of
from acdc.patching.activations import ActivationCache
from acdc.patching.attention import (
    attend_heads,
    attend_layer,
    attn_out,
    constant,
    finish,
    head_outputs,
    head_rows,
    project_layer,
    pull_to_heads,
)
from acdc.patching.layout import Layout
from acdc.prompts.batch import PromptBatch

__all__ = ["Part", "ResidualStreams", "backward", "forward", "loss_gradient", "summed_loss"]

Read = Callable[[int, Tensor], None]  # first destination, [n rows d_model]
Wrote = Callable[[int, Tensor], None]  # first source, [n batch pos d_head] of heads, [1 batch pos d_model] of others


@dataclass(frozen=True)
class ResidualStreams:
    """The residual streams that destinations read in one run.

    Attributes:
        attention, mlp: By layer, what attention and the MLP read; only of the layers that the run computed.
        final: What the logits read.
        cut: A component, like ("mlp", 3), whose output was set, and so hangs on nothing.
    """

    attention: dict[int, Float[Tensor, "batch pos d_model"]]
    mlp: dict[int, Float[Tensor, "batch pos d_model"]]
    final: Float[Tensor, "batch pos d_model"]
    cut: tuple[str, int] | None = None

    @classmethod
    def of(cls, run: ActivationCache, rows: Int[Tensor, " rows"], start: int) -> "ResidualStreams":
        """Those of a whole batch's run, for some prompts, from a column on."""
        attention, mlp = (
            {layer: x[rows, start:] for layer, x in enumerate(xs)} for xs in (run.resid_pre, run.resid_mid)
        )
        return cls(attention, mlp, run.final[rows, start:])

    def below(self, other: "ResidualStreams", cut: tuple[str, int] | None) -> "ResidualStreams":
        """These streams at the layers that `other` didn't compute, else `other`'s."""
        return replace(other, attention=self.attention | other.attention, mlp=self.mlp | other.mlp, cut=cut)


@dataclass(frozen=True)
class Part:
    """Some prompts of a problem, with what runs on them need.

    Attributes:
        rows: Flat `[batch pos]` indices of the tokens where destinations' gradients are wanted; the targets are among
            them.
        heads_at_once: How many heads' gradients are held together.
    """

    model: PatchableModel
    batch: PromptBatch
    objective: Objective
    rows: Int[Tensor, " rows"]
    heads_at_once: int

    @property
    def layout(self) -> Layout:
        """Who may see whom."""
        return Layout(self.batch, self.model.dtype)


@torch.no_grad()
def forward(
    part: Part, x: Float[Tensor, "batch pos d_model"], layer: int = 0, *, at_mlp: bool = False
) -> ResidualStreams:
    """Run the unpatched model from the residual stream `x` on.

    Args:
        layer: The block that reads `x`.
        at_mlp: It is the block's MLP that reads `x`, after its attention (in serial blocks).
    """
    components, layout = part.model.components, part.layout
    attention: dict[int, Tensor] = {}
    mlp: dict[int, Tensor] = {}
    for i in range(layer, len(components.blocks)):
        block, read_by_mlp = components.blocks[i], x
        if not (at_mlp and i == layer):
            attention[i] = x
            x = x + _attention(block, x, layout)
            read_by_mlp = attention[i] if components.parallel else x
        mlp[i] = read_by_mlp
        x = x + _mlp(block, read_by_mlp)
    return ResidualStreams(attention, mlp, x)


def summed_loss(part: Part, final: Float[Tensor, "batch d_model"]) -> Float[Tensor, ""]:
    """The sum of the prompts' losses, from what the logits read at the targets; in float32 at least."""
    logits = part.model.unembed(final, part.objective.tokens)
    values = part.objective.values(logits if logits.dtype == torch.float64 else logits.float())
    return part.objective.metric.loss(values.sum())


def loss_gradient(part: Part, streams: ResidualStreams) -> Float[Tensor, "batch d_model"]:
    """`∂ Σ loss / ∂x_logits` at the targets."""
    with torch.enable_grad():
        x = streams.final[:, -1].detach().requires_grad_()
        return torch.autograd.grad(summed_loss(part, x), x)[0]


@torch.no_grad()
def backward(part: Part, streams: ResidualStreams, *, read: Read | None = None, wrote: Wrote | None = None) -> None:
    """Go from the logits down to where `streams` begin.

    Args:
        read: Called with the first of some destinations that follow each other and `∂ Σ loss / ∂x_d` at the part's
            rows, `[n rows d_model]`; for the logits at the targets, `[1 batch d_model]`.
        wrote: Called with the first of some sources that follow each other and `∂ Σ loss / ∂out_s` everywhere: of heads
            in head space.
    """
    components, graph, layout = part.model.components, part.model.graph, part.layout
    at_target = loss_gradient(part, streams)
    if read is not None:
        read(graph.n_dst - 1, at_target[None])
    g = torch.zeros_like(streams.final)
    g[:, -1] = at_target
    for layer in reversed(range(graph.n_layers)):
        block, above = components.blocks[layer], g
        if wrote is not None and layer in streams.mlp:
            wrote(graph.mlp_src(layer), g[None])
        if layer in streams.mlp and streams.cut != ("mlp", layer):
            x = streams.mlp[layer]
            change = pull_back(partial(_mlp, block), x, g)
            if read is not None:
                read(graph.mlp_dst(layer), change.flatten(0, 1)[None, part.rows])
            g = g + change
        if layer not in streams.attention:
            break
        if streams.cut != ("attention", layer) or wrote is not None:
            written = above if components.parallel else g
            g = g + _through_heads(part, layer, streams, written, layout, read, wrote)
    if wrote is not None and 0 in streams.attention:
        wrote(0, g[None])


def _through_heads(
    part: Part,
    layer: int,
    streams: ResidualStreams,
    g: Float[Tensor, "batch pos d_model"],
    layout: Layout,
    read: Read | None,
    wrote: Wrote | None,
) -> Float[Tensor, "batch pos d_model"]:
    """What attention adds to the gradient of the stream that it reads; `g` is the gradient of what it writes."""
    graph, block, x = part.model.graph, part.model.components.blocks[layer], streams.attention[layer]
    y, total = block.ln1(x), torch.zeros_like(x)
    for first in range(0, graph.n_heads, part.heads_at_once):
        heads = range(first, min(first + part.heads_at_once, graph.n_heads))
        at_z = pull_to_heads(block.attention, g, heads)
        if wrote is not None:
            wrote(graph.head_src(layer, first), at_z)
        if streams.cut == ("attention", layer):
            continue
        for kind, at_y in _at_inputs(block.attention, heads, y, at_z, layout):
            total += at_y.sum(0).view_as(total)
            if read is not None:
                at_x = pull_back(
                    block.ln1,
                    x.flatten(0, 1)[part.rows].expand(len(at_y), -1, -1),
                    at_y if len(part.rows) == at_y.shape[1] else at_y[:, part.rows],
                )
                read(graph.head_dst(layer, kind, first), at_x)
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


# -- attention


def _attention(
    block: Block, x: Float[Tensor, "batch pos d_model"], layout: Layout
) -> Float[Tensor, "batch pos d_model"]:
    """What a layer's attention adds, what belongs to no head included."""
    attention, y, tables = block.attention, block.ln1(x), layout.rotary(block.attention)
    q, k, v = (project_layer(attention, kind, y, tables)[:, None] for kind in QKV)
    out = attn_out(attention, attend_layer(attention, q, k, v, layout.bias_of(attention))[:, 0])
    bias = constant(attention)
    return out if bias is None else out + bias


def _at_inputs(
    attention: Attention,
    heads: range,
    y: Float[Tensor, "batch pos d_model"],
    at_z: Float[Tensor, "n batch pos d_head"],
    layout: Layout,
) -> Iterator[tuple[str, Float[Tensor, "n batch_pos d_model"]]]:
    """The gradients of the heads' normed q, k and v inputs, which are all `y`, kind by kind."""
    if attention.norm_over_heads or attention.post_norm_eps is not None:  # a head is a slice of the whole layer
        with torch.enable_grad():
            leaves = {kind: y.detach().expand(len(heads), *y.shape).clone().requires_grad_() for kind in QKV}
            z = head_outputs(attention, heads, leaves, layout)
            grads = torch.autograd.grad(z, [leaves[kind] for kind in QKV], at_z)
        yield from ((kind, grad.flatten(1, 2)) for kind, grad in zip(QKV, grads, strict=True))
        return
    with torch.enable_grad():
        raw = {kind: _project(attention, kind, y, heads).detach().requires_grad_() for kind in QKV}
        grads = torch.autograd.grad(_z(attention, heads, raw, layout), [raw[kind] for kind in QKV], at_z)
    for kind, grad in zip(QKV, grads, strict=True):
        weight = _of_heads(head_rows(attention, kind)[0], heads, attention.n_heads)
        yield kind, torch.bmm(grad.flatten(1, 2), weight.transpose(1, 2))


def _project(
    attention: Attention, kind: str, y: Float[Tensor, "batch pos d_model"], heads: range
) -> Float[Tensor, "n batch pos d_head"]:
    """`y W + b` of some query heads, each with its own copy of k and v."""
    weight, bias = head_rows(attention, kind)
    out = torch.einsum("bpd,hde->hbpe", y, _of_heads(weight, heads, attention.n_heads))
    return out if bias is None else out + _of_heads(bias, heads, attention.n_heads)[:, None, None]


def _of_heads(x: Float[Tensor, "n_stored *rest"], heads: range, n_heads: int) -> Float[Tensor, "n *rest"]:
    """Rows of these query heads; a view, unless several heads share one."""
    return x[index_of([h * len(x) // n_heads for h in heads])]


def _z(
    attention: Attention, heads: range, raw: dict[str, Float[Tensor, "n batch pos d_head"]], layout: Layout
) -> Float[Tensor, "n batch pos d_head"]:
    """Attention's result from the projections."""
    tables, shared = layout.rotary(attention), [h // attention.group for h in heads]
    q, k, v = (finish(attention, kind, raw[kind], heads if kind == "q" else shared, tables)[:, None] for kind in QKV)
    return attend_heads(attention, heads, q, k, v, layout.bias_of(attention, heads))[:, 0]
