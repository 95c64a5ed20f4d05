"""What every circuit's forward pass starts from, whatever its mask: made once for a batch and its ablation.

With no edge kept each destination reads the ablated stream, `Σ_s ablated_s + constants`. Its queries, keys and values
there are those of every head whose input no kept edge reaches, and of every token that ablation can't change (fact 5).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.models import PatchableModel
from acdc.models.components import Attention, index_of
from acdc.patching.ablation import Ablated
from acdc.patching.attention import attn_out, constant, project_layer
from acdc.patching.layout import Layout, Tables
from acdc.patching.rows import Rows
from acdc.prompts.batch import PromptBatch

__all__ = ["Background", "can_change", "is_joint"]


@dataclass(frozen=True)
class Background:
    """A batch's prompts and the ablated streams. `rows` are the tokens that ablation can change.

    Attributes:
        rows: Where those tokens are, and how they are grouped by spans.
        input_change: `clean - ablated` of the embeddings.
        streams: What the heads of each layer read with no edge kept, and last what the logits read.
        attention_adds: What each layer's ablated attention adds, its constant included.
        q, k, v: Of each layer's stored heads, from the ablated stream, at all positions.
        z, mlp: The ablated outputs.
    """

    model: PatchableModel
    batch: PromptBatch
    rows: Rows
    input_change: Float[Tensor, "rows d_model"]
    streams: tuple[Float[Tensor, "rows d_model"], ...]
    attention_adds: tuple[Float[Tensor, "rows d_model"], ...]
    q: tuple[Float[Tensor, "n_heads batch pos d_head"], ...]
    k: tuple[Float[Tensor, "n_kv batch pos d_head"], ...]
    v: tuple[Float[Tensor, "n_kv batch pos d_head"], ...]
    z: tuple[Float[Tensor, "n_heads rows d_head"], ...]
    mlp: tuple[Float[Tensor, "rows d_model"], ...]

    @classmethod
    @torch.no_grad()
    def make(cls, model: PatchableModel, batch: PromptBatch, ablated: Ablated) -> "Background":
        """Sum the ablated outputs up, layer by layer."""
        outputs, layout = ablated.outputs, Layout(batch, model.dtype)
        rows = Rows.of(can_change(model, ablated), batch, first=0)

        def at_rows(x: Tensor) -> Tensor:  # [*n batch pos d] to [*n rows d]
            return x.flatten(-3, -2) if rows.are_all else x.flatten(-3, -2).index_select(-2, rows.index)

        x, layers = outputs.input, list[tuple[Tensor, ...]]()
        for block, z, mlp in zip(model.components.blocks, outputs.z, outputs.mlp, strict=True):
            attention, normed, tables = block.attention, block.ln1(x), layout.rotary(block.attention)
            q, k, v = (project_layer(attention, kind, normed, tables) for kind in QKV)
            bias, added = constant(attention), attn_out(attention, z)
            added = added if bias is None else added + bias
            layers.append((at_rows(x), at_rows(added), q, k, v, at_rows(z), at_rows(mlp)))
            x = x + added + mlp
        streams, adds, qs, ks, vs, zs, mlps = zip(*layers, strict=True)
        change = at_rows(model.embed(batch.clean, batch.position_ids) - outputs.input)
        return cls(model, batch, rows, change, (*streams, at_rows(x)), adds, qs, ks, vs, zs, mlps)

    @cached_property
    def layout(self) -> Layout:
        """Who may see whom."""
        return Layout(self.batch, self.model.dtype)

    def tables(self, attention: Attention, group: int) -> Tables | None:
        """A layer's rotary tables at a group of rows."""
        if (tables := self.layout.rotary(attention)) is None:
            return None
        cos, sin = (table.expand(*self.batch.clean.shape, -1).flatten(0, 1) for table in tables)
        return cos[self.rows.places[group]], sin[self.rows.places[group]]

    def select(self, prompts: Int[Tensor, " n"]) -> "Background":
        """That of some prompts, without columns that are padding in all of them."""
        chosen = prompts.tolist()
        if chosen == list(range(self.batch.n)):
            return self
        index, batch = index_of(chosen), self.batch.select(prompts)
        start = self.batch.n_pos - batch.n_pos
        here = self.rows.mask[index, start:]
        new = Rows.of(here, batch, first=0)
        rows = self.rows.numbers[index, start:].flatten()[new.index]
        return Background(
            self.model,
            batch,
            new,
            self.input_change[rows],
            tuple(x[rows] for x in self.streams),
            tuple(x[rows] for x in self.attention_adds),
            tuple(q[:, index, start:] for q in self.q),
            tuple(k[:, index, start:] for k in self.k),
            tuple(v[:, index, start:] for v in self.v),
            tuple(z[:, rows] for z in self.z),
            tuple(x[rows] for x in self.mlp),
        )


def can_change(model: PatchableModel, ablated: Ablated) -> Bool[Tensor, "batch pos"]:
    """The tokens that ablation can change: all of them where a head's z depends on other heads."""
    joint = any(is_joint(block.attention) for block in model.components.blocks)
    return torch.ones_like(ablated.active) if joint else ablated.active


def is_joint(attention: Attention) -> bool:
    """Whether a head's z depends on all heads' projections of its inputs, by a norm over them all."""
    return attention.norm_over_heads or attention.post_norm_eps is not None
