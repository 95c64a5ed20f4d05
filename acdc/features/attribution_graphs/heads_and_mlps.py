"""The attribution graph of heads and MLPs at positions, without any dictionary.

    A[t, s] = g_t · J_ts out_s

With patterns and norms' scales held, and each MLP by the secant of its activation (`acdc.patching.gradient.rules`,
RelP), what a head or MLP writes is linear in what earlier ones write, J_ts straight from s to t. A vector needs a
direction to be weighed by: g_t is the derivative of the logits, each weighted by its probability, at what t writes,
along all later paths. So an edge is the part of the logits that flows through it: what flows into a node, with its
biases, is what flows out of it.

Reference: Rezaei Jafari et al. 2025, RelP (arXiv 2508.21258), for the rules.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.features.attribution_graphs.logits import Logits
from acdc.features.attribution_graphs.pace import Counted
from acdc.features.attribution_graphs.room import check_room
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.models.components import Block
from acdc.patching.activations import ActivationCache
from acdc.patching.attention import head_results, post_scale, project_layer, pull_to_heads
from acdc.patching.frozen import frozen
from acdc.patching.gradient.frozen_norms import FrozenNorms
from acdc.patching.gradient.rules import RULES
from acdc.patching.layout import Layout
from acdc.patching.pattern import head_patterns
from acdc.progress import Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["ComponentRows", "component_rows"]


class ComponentRows(NamedTuple):
    """Rows of the logits, and of heads and MLPs at positions.

    Columns are the graph's sources (input, a0.h0... m0...) at each position, source after source; then the logits.

    Attributes:
        nodes: The column of each row's own node.
        values: What each gives the logits; a logit's own value.
    """

    weights: Float[np.ndarray, "row column"]
    nodes: Int[np.ndarray, " row"]
    values: Float[np.ndarray, " row"]


class _Part(NamedTuple):
    """Rows of one layer's heads or MLP: gradients at what they read, and what they give the logits."""

    gradients: Float[Tensor, "row pos d_model"]
    values: Float[Tensor, " row"]


def component_rows(
    model: PatchableModel,
    batch: PromptBatch,
    cache: ActivationCache,
    logits: Logits,
    *,
    mlps: bool = True,
    memory: int,
    tell: Tell | None = None,
) -> ComponentRows:
    """All rows, from the logits down.

    Args:
        batch, cache: One prompt, and its run.
        mlps: Whether MLPs read; if not, what each writes is a constant.

    Raises:
        ModelError: The rows don't fit into the memory, or it isn't known what is inside an MLP.
    """
    graph, n_pos, n_logits = model.graph, batch.n_pos, len(logits.tokens)
    outputs = _outputs(model, cache)
    n_columns = len(outputs) * n_pos + n_logits
    n_rows = n_logits + (len(outputs) - 1 - (0 if mlps else graph.n_layers)) * n_pos
    check_room(n_rows, n_columns, outputs.element_size(), "trace a shorter prompt")
    dtype = np.float64 if outputs.dtype == torch.float64 else np.float32
    weights, nodes, values = np.zeros((n_rows, n_columns), dtype), np.zeros(n_rows, dtype=int), np.zeros(n_rows)
    done = 0

    def add(part: _Part, first: int, n_read: int) -> None:
        nonlocal done
        found = torch.einsum("tpd,spd->tsp", part.gradients, outputs[:n_read]).flatten(1)
        rows = slice(done, done + len(found))
        weights[rows, : n_read * n_pos] = found.cpu().numpy()
        nodes[rows], values[rows] = np.arange(first, first + len(found)), part.values.cpu().numpy()
        done += len(found)

    of_logits = _of_logits(model, cache, logits)
    add(of_logits, n_columns - n_logits, len(outputs))
    reaching = torch.einsum("t,tpd->pd", logits.probabilities.to(outputs), of_logits.gradients)[None]
    layout, count = Layout(batch, model.dtype), Counted(tell, "layers", graph.n_layers)
    for layer in reversed(range(graph.n_layers)):
        block, first = model.components.blocks[layer], graph.head_src(layer)
        below = reaching
        if mlps:
            part = _of_mlp(model, block, cache.resid_mid[layer], reaching)
            add(part, graph.mlp_src(layer) * n_pos, first if model.graph.parallel else graph.mlp_src(layer))
            below = reaching + part.gradients.sum(0)
        at_heads, place = reaching if graph.parallel else below, first * n_pos
        reaching = below
        for part in _of_heads(model, block, layout, cache.resid_pre[layer], at_heads, memory):
            add(part, place, first)
            reaching, place = reaching + part.gradients.sum(0), place + len(part.values)
        left = layer * (layer + 1) / (graph.n_layers * (graph.n_layers + 1))  # a layer reads all before it
        count(graph.n_layers - layer, share=1 - left)
    return ComponentRows(weights, nodes, values)


@torch.no_grad()
def _outputs(model: PatchableModel, cache: ActivationCache) -> Float[Tensor, "source pos d_model"]:
    """What each source writes at each position of the prompt."""
    found = [cache.outputs.input]
    for block, z, mlp in zip(model.components.blocks, cache.outputs.z, cache.outputs.mlp, strict=True):
        found += [head_results(block.attention, z, range(len(z)))[:, 0], mlp]
    return wide(torch.cat(found))


def _of_logits(model: PatchableModel, cache: ActivationCache, logits: Logits) -> _Part:
    with frozen(model), torch.enable_grad(), FrozenNorms():
        leaf = wide(cache.final).detach().requires_grad_()
        read = model.components.ln_final(leaf)[0, -1] @ logits.vectors.to(leaf).T
        seeds = torch.eye(len(read), dtype=read.dtype, device=read.device)
        gradients = torch.autograd.grad(read, leaf, seeds, is_grads_batched=True)[0]
    return _Part(gradients[:, 0], read.detach() + logits.biases.to(read))


def _of_mlp(model: PatchableModel, block: Block, x: Tensor, reaching: Float[Tensor, "1 pos d_model"]) -> _Part:
    """A row for each position, whose gradient is 0 at all others."""
    with frozen(model), torch.enable_grad(), FrozenNorms():
        leaf = x.detach().requires_grad_()
        values = (wide(RULES["relp"].block(block, model.dtype).mlp(block.ln2(leaf))) * reaching).sum(-1)[0]
        gradient = wide(torch.autograd.grad(values.sum(), leaf)[0])[0]
    return _Part(torch.diag_embed(gradient.T).permute(1, 2, 0), values.detach())


def _of_heads(
    model: PatchableModel,
    block: Block,
    layout: Layout,
    x: Tensor,
    reaching: Float[Tensor, "1 pos d_model"],
    memory: int,
) -> Iterator[_Part]:
    """A row for each head and position, some heads at a time.

    A head's output is `pattern v`, and the pattern is a constant: so its gradient is the pattern times what is pulled
    to v, and no attention is run backwards.
    """
    attention, tables = block.attention, layout.rotary(block.attention)
    with frozen(model), torch.enable_grad(), FrozenNorms():
        leaf = x.detach().requires_grad_()
        y = block.ln1(leaf)
    with torch.no_grad():
        q, k, v = (project_layer(attention, kind, y, tables)[:, None] for kind in ("q", "k", "v"))
        heads = range(attention.n_heads)
        k, v = (each.repeat_interleave(attention.group, 0) for each in (k, v))
        pattern = head_patterns(attention, heads, q, k, layout.bias_of(attention))[:, 0, 0].to(v.dtype)
        z, pulled = pattern @ v[:, 0, 0], pull_to_heads(attention, reaching.to(v.dtype), heads)[:, 0]
        scale = post_scale(attention, z)
        pulled = pulled if scale is None else (pulled * scale).to(v.dtype)
        values = wide(z * pulled).sum(-1)
        for some in torch.arange(len(z)).split(_at_once(leaf, memory)):
            at_v = pattern[some, :, :, None] * pulled[some, :, None]
            if attention.clip is not None:
                at_v = at_v * (v[some, 0, 0].abs() < attention.clip)[:, None]
            weight = attention.W_V[some // attention.group]
            at_y = torch.einsum("hpkf,hdf->hpkd", at_v.to(weight.device), weight).to(y)
            with torch.enable_grad(), FrozenNorms():
                found = torch.autograd.grad(
                    y, leaf, at_y.flatten(0, 1)[:, None], is_grads_batched=True, retain_graph=True
                )[0]
            yield _Part(wide(found[:, 0]), values[some].flatten())


def _at_once(leaf: Float[Tensor, "1 pos d_model"], memory: int) -> int:
    """So many heads' gradients, with what they are made of, fit into the memory."""
    one = 4 * leaf.numel() * leaf.shape[1] * max(4, leaf.element_size())
    return max(1, memory // one)
