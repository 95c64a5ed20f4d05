"""A circuit's forward pass: every destination reads the kept sources live and the removed ones ablated."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.graph import QKV
from acdc.models import PatchableModel
from acdc.patching.activations import Outputs
from acdc.patching.attention import Layout, constant, head_outputs, written, written_by_layer
from acdc.prompts import PromptBatch

__all__ = ["masked_logits"]


@torch.no_grad()
def masked_logits(
    model: PatchableModel,
    batch: PromptBatch,
    ablated: Outputs,
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
    kept = int(mask.any(1).sum()) + 2 * model.graph.n_heads + 2
    per_prompt = kept * batch.n_pos * model.graph.d_model * ablated.input.element_size()
    size = max(1, memory // per_prompt)
    rows = torch.arange(batch.n, device=batch.clean.device).split(size)
    return torch.cat([_Pass(model, batch, ablated, mask, part).logits() for part in rows])


class _Pass:
    """One masked forward of some prompts; `kept` holds `out_s - ablated_s` of the sources that someone reads."""

    def __init__(self, model: PatchableModel, batch: PromptBatch, ablated: Outputs, mask: Tensor, rows: Tensor) -> None:
        self.model, self.mask = model, mask.to(batch.clean.device)
        self.batch = PromptBatch(
            batch.clean[rows], batch.corrupt[rows], batch.attention[rows], batch.correct[rows], batch.wrong[rows]
        )
        self.ablated = Outputs(
            ablated.input[rows], tuple(z[:, rows] for z in ablated.z), tuple(mlp[rows] for mlp in ablated.mlp)
        )
        self.layout = Layout(self.batch, model.parts, model.dtype)
        self.needed = self.mask.any(1).tolist()
        self.sources: list[int] = []
        self.kept: list[Tensor] = []

    def logits(self) -> Tensor:
        graph, parts = self.model.graph, self.model.parts
        self._add(0, self.model.embed(self.batch.clean, self.batch.position_ids) - self.ablated.input)
        base = self.ablated.input
        for layer, block in enumerate(parts.blocks):
            before = base
            base = base + written_by_layer(block.attention, self.ablated.z[layer])
            bias = constant(block.attention)
            base = base if bias is None else base + bias
            heads = [h for h in range(graph.n_heads) if self.needed[graph.head_src(layer, h)]]
            if heads:
                change = self._z(layer, heads, before) - self.ablated.z[layer][heads]
                for h, of_head in zip(heads, written(block.attention, change, heads), strict=True):
                    self._add(graph.head_src(layer, h), of_head)
            if self.needed[graph.mlp_src(layer)]:
                x = self._read([graph.mlp_dst(layer)], before if parts.parallel else base)[0]
                self._add(graph.mlp_src(layer), block.mlp(block.mlp_norm(x)) - self.ablated.mlp[layer])
            base = base + self.ablated.mlp[layer]
        return self.model.unembed(self._read([graph.n_dst - 1], base)[0][:, -1])

    def _add(self, src: int, change: Tensor) -> None:
        if self.needed[src]:
            self.sources.append(src)
            self.kept.append(change)

    def _read(self, dsts: list[int], base: Tensor) -> Float[Tensor, "n batch pos d_model"]:
        """The inputs of `dsts`: the ablated residual stream and the kept sources' changes."""
        if not self.kept:
            return base.expand(len(dsts), *base.shape)
        weights = self.mask[self.sources][:, dsts].to(base.dtype)
        return base + torch.einsum("sn,sbpd->nbpd", weights, torch.stack(self.kept))

    def _z(self, layer: int, heads: list[int], base: Tensor) -> Float[Tensor, "n batch pos d_head"]:
        block = self.model.parts.blocks[layer]
        inputs = {
            kind: block.attention_norm(self._read([self.model.graph.head_dst(layer, kind, h) for h in heads], base))
            for kind in QKV
        }
        return head_outputs(block.attention, heads, inputs, self.layout)
