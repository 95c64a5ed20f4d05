"""A circuit's forward pass: every destination reads the kept sources live and the removed ones ablated.

An edge is kept whole or not at all (`masked_logits`), or with a weight that the logits are differentiable in
(`weighted_logits`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from acdc.circuits.graph import QKV
from acdc.defaults import MASKED_MEMORY
from acdc.errors import CircuitError
from acdc.models import PatchableModel
from acdc.patching.activations import NodeOutputs
from acdc.patching.attention import attn_out, constant, head_outputs, head_results
from acdc.patching.layout import Layout
from acdc.prompts.batch import PromptBatch

__all__ = ["masked_logits", "prompts_that_fit", "weighted_logits"]


@torch.no_grad()
def masked_logits(
    model: PatchableModel,
    batch: PromptBatch,
    ablated: NodeOutputs,
    mask: Bool[Tensor, "src dst"],
    *,
    memory: int = 512 * 2**20,
) -> Float[Tensor, "batch vocab"]:
    """Target logits of the circuit `mask` on the clean prompts.

    `x_d = Σ_{all s} ablated_s + constants + Σ_{kept s} (out_s - ablated_s)`.

    Args:
        memory: About how many bytes the kept sources' outputs may take; prompts are taken in groups that fit.
    """
    model.graph.check_mask(mask)
    needed = mask.any(1).tolist()
    kept = sum(needed) + 2 * model.graph.n_heads + 2
    per_prompt = kept * batch.n_pos * model.graph.d_model * ablated.input.element_size()
    size = max(1, memory // per_prompt)
    rows = torch.arange(batch.n, device=batch.clean.device).split(size)
    return torch.cat([_Pass(model, batch, ablated, mask, part, needed).logits() for part in rows])


def weighted_logits(
    model: PatchableModel,
    batch: PromptBatch,
    ablated: NodeOutputs,
    weights: Float[Tensor, "*n src dst"],
    *,
    rows: Int[Tensor, " n"] | None = None,
    live: Bool[Tensor, " src"] | None = None,
    memory: int = MASKED_MEMORY,
) -> Float[Tensor, "n vocab"]:
    """Target logits where each edge carries a share of its source's output, differentiable in the shares.

    `x_d = Σ_{all s} ablated_s + constants + Σ_s w[s,d] (out_s - ablated_s)`.

    The gradient in `w[s,d]` is `(out_s - ablated_s) · ∂/∂x_d`, summed over positions, and over the prompts that share
    the weights. The model's own weights get none.

    Args:
        weights: The shares, the same for all prompts or each prompt's own; usually within 0 and 1, which are an edge
            that is removed and one that is kept. Pairs that are no edges count as 0.
        rows: Prompts to take; all if None.
        live: Sources to compute; all if None. The others count as ablated, and their weights get no gradient.
        memory: About how many bytes what is kept for the backward pass may take. Prompts that don't fit are taken in
            groups that do, each of which is computed once more in the backward pass.

    Raises:
        CircuitError: The weights have another shape.
    """
    graph = model.graph
    rows = torch.arange(batch.n) if rows is None else rows
    if tuple(weights.shape[-2:]) != (graph.n_src, graph.n_dst) or weights.shape[:-2] not in ((), (len(rows),)):
        raise CircuitError(
            f"weights of {len(rows)} prompts for {graph.shape} must be [{graph.n_src}, {graph.n_dst}], for all or for "
            f"each, not {list(weights.shape)}"
        )
    weights = (weights * graph.edges_mask.to(weights.device)).to(batch.clean.device, model.dtype)
    needed = [True] * graph.n_src if live is None else live.tolist()
    size = prompts_that_fit(model, batch, memory)
    groups = rows.to(batch.clean.device).split(size)
    shares = [weights] * len(groups) if weights.ndim == 2 else weights.split(size)

    def logits(part: Tensor, weights: Tensor) -> Tensor:
        with _frozen(model):
            return _Pass(model, batch, ablated, weights, part, needed).logits()

    if len(groups) == 1:
        return logits(groups[0], weights)
    return torch.cat(
        [
            checkpoint(logits, part, share, use_reentrant=False, preserve_rng_state=False)
            for part, share in zip(groups, shares, strict=True)
        ]
    )


def prompts_that_fit(model: PatchableModel, batch: PromptBatch, memory: int) -> int:
    """How many prompts' forward passes `weighted_logits` can keep in about `memory` bytes, at least one.

    Kept are, at each position: every source's change, every destination's input about twice (read and normed), the
    attention probabilities, and the insides of the MLPs.
    """
    graph = model.graph
    streams = graph.n_src + 2 * graph.n_dst + 16 * graph.n_layers
    numbers = batch.n_pos * (streams * graph.d_model + 2 * graph.n_layers * graph.n_heads * batch.n_pos)
    return max(1, memory // (numbers * torch.finfo(model.dtype).bits // 8))


@contextmanager
def _frozen(model: PatchableModel) -> Iterator[None]:
    """The model's parameters need no gradient for a while."""
    trained = [parameter for parameter in model.hf.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


class _Pass:
    """One forward of some prompts with a mask, or with weights, of all or of each; changes are `out_s - ablated_s` of
    the `needed` sources."""

    def __init__(
        self,
        model: PatchableModel,
        batch: PromptBatch,
        ablated: NodeOutputs,
        mask: Tensor,
        rows: Tensor,
        needed: list[bool],
    ) -> None:
        self.model, self.mask = model, mask.to(batch.clean.device)
        self.batch = PromptBatch(
            batch.clean[rows], batch.corrupt[rows], batch.attention[rows], batch.correct[rows], batch.wrong[rows]
        )
        self.ablated = NodeOutputs(
            ablated.input[rows], tuple(z[:, rows] for z in ablated.z), tuple(mlp[rows] for mlp in ablated.mlp)
        )
        self.layout = Layout(self.batch, model.dtype)
        self.needed = needed
        self.changes: list[tuple[list[int], Tensor]] = []  # sources, and what they change, stacked
        self.fresh: list[tuple[int, Tensor]] = []  # not stacked yet

    def logits(self) -> Tensor:
        graph, components = self.model.graph, self.model.components
        self._add(0, self.model.embed(self.batch.clean, self.batch.position_ids) - self.ablated.input)
        base = self.ablated.input
        for layer, block in enumerate(components.blocks):
            before = base
            base = base + attn_out(block.attention, self.ablated.z[layer])
            bias = constant(block.attention)
            base = base if bias is None else base + bias
            heads = [h for h in range(graph.n_heads) if self.needed[graph.head_src(layer, h)]]
            if heads:
                change = self._z(layer, heads, before) - self.ablated.z[layer][heads]
                for h, of_head in zip(heads, head_results(block.attention, change, heads), strict=True):
                    self._add(graph.head_src(layer, h), of_head)
            if self.needed[graph.mlp_src(layer)]:
                x = self._read([graph.mlp_dst(layer)], before if components.parallel else base)[0]
                self._add(graph.mlp_src(layer), block.mlp(block.ln2(x)) - self.ablated.mlp[layer])
            base = base + self.ablated.mlp[layer]
        return self.model.unembed(self._read([graph.n_dst - 1], base)[0][:, -1])

    def _add(self, src: int, change: Tensor) -> None:
        if self.needed[src]:
            self.fresh.append((src, change))

    def _read(self, dsts: list[int], base: Tensor) -> Float[Tensor, "n batch pos d_model"]:
        """The inputs of `dsts`: the ablated residual stream and the kept sources' changes."""
        if self.fresh:
            self.changes.append(([src for src, _ in self.fresh], torch.stack([change for _, change in self.fresh])))
            self.fresh = []
        x = base.expand(len(dsts), *base.shape)
        columns = self.mask[..., dsts].to(base.dtype)
        for sources, change in self.changes:
            weights = columns[..., sources, :]
            x = x + torch.einsum("sn,sbpd->nbpd" if weights.ndim == 2 else "bsn,sbpd->nbpd", weights, change)
        return x

    def _z(self, layer: int, heads: list[int], base: Tensor) -> Float[Tensor, "n batch pos d_head"]:
        block = self.model.components.blocks[layer]
        inputs = {
            kind: block.ln1(self._read([self.model.graph.head_dst(layer, kind, h) for h in heads], base))
            for kind in QKV
        }
        return head_outputs(block.attention, heads, inputs, self.layout)
