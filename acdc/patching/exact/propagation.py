"""One pass through what a change reaches: from a circuit's activations and a question to the last residual stream.

A question is what several copies of the batch, stacked, would compute without some edges. `propagate` answers it and
changes nothing; what it computed is given back as `Updates` where it is to be kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.models.components import Attention, index_of
from acdc.patching.attention import attend_heads, attend_layer, head_results, project_heads, project_layer
from acdc.patching.exact.cache import CircuitCache, Updates
from acdc.patching.exact.changes import Removal
from acdc.patching.exact.reachability import LayerReach, Reach

__all__ = ["Propagated", "Question", "propagate"]


@dataclass(frozen=True)
class Question:
    """What the circuit would compute.

    Attributes:
        mask: Its kept edges.
        reach: What its activations change.
        removals: The edges into each destination without which the copies are computed. A copy that removes an edge of
            the mask doesn't carry its source's change either.
        copies: How many copies of the batch.
        input: What the source `input` writes, if that changes.
    """

    mask: Bool[np.ndarray, "src dst"]
    reach: Reach
    removals: Mapping[int, Removal]
    copies: int = 1
    input: Float[Tensor, "rows d_model"] | None = None


class Propagated(NamedTuple):
    """The last residual stream at the last positions; and of one copy, if they are to be kept, its activations."""

    final: Float[Tensor, "copies batch d_model"]
    updates: Updates


def propagate(cache: CircuitCache, question: Question, *, keep: bool = False) -> Propagated:
    """Answer a question.

    Args:
        keep: Give back the activations of the one copy too; without, `updates` is empty.
    """
    with torch.no_grad():
        return _Pass(cache, question, keep).through_all_layers()


class _ChangedSources:
    """Sources in the order in which they were computed, and their changes in the residual stream."""

    def __init__(self, room: int, copies: int, like: Float[Tensor, "rows d_model"]) -> None:
        self.sources: list[int] = []
        self._changes = like.new_empty(room, copies, *like.shape)

    @property
    def changes(self) -> Float[Tensor, "n copies rows d_model"]:
        return self._changes[: len(self.sources)]

    def add(self, sources: list[int], change: Float[Tensor, "n copies rows d_model"]) -> None:
        self._changes[len(self.sources) : len(self.sources) + len(sources)] = change
        self.sources += sources


class _Pass:
    """The pass under way.

    Changes of sources are held twice: at all positions of the sources that are read there, and at the last of all.
    """

    def __init__(self, cache: CircuitCache, question: Question, keep: bool) -> None:
        self.cache, self.question, self.keep = cache, question, keep
        self.mask, self.copies, self.rows = question.mask, question.copies, cache.rows
        self.updates = Updates()
        given, found = int(question.input is not None), question.reach
        self.changed = {
            True: _ChangedSources(found.n_all_positions + given, self.copies, cache.out.input),
            False: _ChangedSources(found.n_changed + given, self.copies, cache.final),
        }

    def through_all_layers(self) -> Propagated:
        """From the first layer to the last residual stream."""
        cache, new_input = self.cache, self.question.input
        if new_input is not None:
            self._write([0], (new_input - cache.out.input)[None, None], True)
            self._keep_output(cache.out.input, new_input)
        for layer, touched in enumerate(self.question.reach.layers):
            if touched.all_positions or touched.last_position:
                self._attention(layer, touched)
            if touched.mlp:
                self._mlp(layer, touched.mlp_all_positions)
        logits = cache.graph.n_dst - 1
        x = self._read([logits], False, cache.final)
        self._keep_inputs([logits], x)
        return Propagated(x[0], self.updates)

    # -- what destinations read and sources write

    def _read(self, dsts: list[int], all_positions: bool, base: Tensor) -> Float[Tensor, "n copies rows d_model"]:
        """The inputs of `dsts`: what they are now, the removed edges' changes, and the kept sources' changes."""
        cache, changed = self.cache, self.changed[all_positions]
        base = self.rows.read(base, all_positions)
        kept = self.mask[np.ix_(changed.sources, dsts)]
        if kept.any():
            weights = torch.from_numpy(kept.T.copy()).to(base.device, base.dtype)
            x = (weights @ changed.changes.flatten(1)).view(len(dsts), self.copies, *base.shape)
        else:
            x = base.new_zeros(len(dsts), self.copies, *base.shape)
        for i, dst in enumerate(dsts):
            if dst in self.question.removals:
                self._remove(x[i], dst, self.question.removals[dst], all_positions)
        if any(dst in cache.inputs for dst in dsts):
            for i, dst in enumerate(dsts):
                x[i] += self.rows.read(cache.inputs.get(dst, base), all_positions)
        else:
            x += base
        return x

    def _remove(self, x: Float[Tensor, "copies rows d_model"], dst: int, removal: Removal, all_positions: bool) -> None:
        """Add to the input of `dst` what removing edges changes."""
        changes, changed = self.cache.changes, self.changed[all_positions]
        if removal.waiting is not None:
            x += changes.sum_of(removal.waiting, all_positions)
        if removal.sources:
            x += changes.sums_of(removal.sources, removal.chosen, all_positions)
            x -= self._cut_off(dst, removal, changed)

    def _cut_off(
        self, dst: int, removal: Removal, changed: _ChangedSources
    ) -> Float[Tensor, "copies rows d_model"] | int:
        """Changes of sources that reach `dst` by edges which a copy removes: it no longer reads them."""
        row = {src: i for i, src in enumerate(changed.sources) if self.mask[src, dst]}
        both = [(i, row[src]) for i, src in enumerate(removal.sources) if src in row]
        if not both:
            return 0
        columns, rows = ([pair[k] for pair in both] for k in (0, 1))
        return torch.einsum("cn,ncrd->crd", removal.chosen[:, columns], changed.changes[rows])

    def _write(self, sources: list[int], change: Float[Tensor, "n copies rows d_model"], all_positions: bool) -> None:
        """Note the changes of sources for those who read them."""
        if all_positions:
            self.changed[True].add(sources, change)
        self.changed[False].add(sources, self.rows.read(change, False))
        if self.keep:
            self.updates.sources += sources

    def _keep_inputs(self, dsts: list[int], x: Float[Tensor, "n copies rows d_model"]) -> None:
        if self.keep:
            self.updates.inputs |= {dst: x[i, 0] for i, dst in enumerate(dsts)}

    def _keep_output(self, output: Tensor, value: Tensor) -> None:
        if self.keep:
            self.updates.outputs.append((output, value))

    # -- the parts of a layer

    def _mlp(self, layer: int, all_positions: bool) -> None:
        cache, block = self.cache, self.cache.components.blocks[layer]
        dst, src, old = cache.graph.mlp_dst(layer), cache.graph.mlp_src(layer), cache.out.mlp[layer]
        x = self._read([dst], all_positions, cache.resid_mid[layer])
        out = block.mlp(block.ln2(x[0]))
        self._write([src], (out - self.rows.read(old, all_positions))[None], all_positions)
        self._keep_inputs([dst], x)
        self._keep_output(old, out[0])

    def _attention(self, layer: int, touched: LayerReach) -> None:
        attention = self.cache.components.blocks[layer].attention
        if attention.post_norm_eps is None:
            self._attention_of_heads(layer, attention, touched)
        else:
            self._attention_of_layers(layer, attention, touched)

    def _attention_of_heads(self, layer: int, attention: Attention, touched: LayerReach) -> None:
        """Heads that need nothing of each other."""
        new = {kind: self._project(layer, kind, touched.inputs[kind], True) for kind in ("k", "v")}
        for heads, all_positions in ((touched.all_positions, True), (touched.last_position, False)):
            if not heads:
                continue
            moved = [h for h in touched.inputs["q"] if h in heads]
            new_q = self._project(layer, "q", moved, all_positions)
            q = self._merge(layer, "q", heads, moved, new_q, all_positions)
            k, v = (self._with_prefix(layer, kind, heads, touched.inputs[kind], new[kind]) for kind in ("k", "v"))
            z = attend_heads(attention, heads, q, k, v, self._bias(attention, heads, all_positions))
            self._write_heads(layer, heads, z, all_positions)

    def _attention_of_layers(self, layer: int, attention: Attention, touched: LayerReach) -> None:
        """Heads before a norm: each is its slice of the whole layer on that head's inputs, a layer for each head."""
        for heads, all_positions in ((touched.all_positions, True), (touched.last_position, False)):
            bias = self._bias(attention, range(attention.n_heads), all_positions)
            for h in heads:
                q, k, v = (self._project_layer(layer, kind, h, touched, all_positions or kind != "q") for kind in QKV)
                z = attend_layer(attention, q, k, v, bias)[h : h + 1]
                self._write_heads(layer, [h], z.expand(-1, self.copies, -1, -1, -1), all_positions)

    def _bias(self, attention: Attention, heads: Sequence[int], all_positions: bool) -> Tensor:
        """What is added to the scores of the queries that are computed."""
        bias = self.cache.layout.bias_of(attention, heads)
        return bias[..., self.rows.first :, :][..., self.rows.columns(all_positions), :]

    def _write_heads(
        self, layer: int, heads: list[int], z: Float[Tensor, "n copies batch query d_head"], all_positions: bool
    ) -> None:
        """Note what heads of a layer write with a new z."""
        cache, z = self.cache, z.flatten(2, 3)
        if all_positions:
            z = self.rows.without_padding(z)
        old = self.rows.read(cache.out.z[layer][index_of(heads)], all_positions)
        change = head_results(cache.components.blocks[layer].attention, z - old[:, None], heads)
        self._write([cache.graph.head_src(layer, h) for h in heads], change, all_positions)
        for i, h in enumerate(heads):
            self._keep_output(cache.out.z[layer][h], z[i, 0])

    # -- queries, keys and values

    def _project(self, layer: int, kind: str, heads: list[int], all_positions: bool) -> Tensor | None:
        """New q, k or v, `[n copies batch pos d_head]`, of the heads whose input changes; None without such heads."""
        if not heads:
            return None
        cache, block = self.cache, self.cache.components.blocks[layer]
        dsts = [cache.graph.head_dst(layer, kind, h) for h in heads]
        x = self._read(dsts, all_positions, cache.resid_pre[layer])
        tables = cache.rotary(block.attention, all_positions)
        rows = project_heads(block.attention, kind, block.ln1(x), heads, tables)
        out = self.rows.unpack(rows, cache.projected[kind][layer][index_of(heads)], all_positions)
        self._keep_inputs(dsts, x)
        if self.keep:
            here = cache.projected[kind][layer][:, :, self.rows.columns(all_positions)]
            self.updates.projected += [(here[h], out[i, 0]) for i, h in enumerate(heads)]
        return out

    def _project_layer(
        self, layer: int, kind: str, h: int, touched: LayerReach, all_positions: bool
    ) -> Float[Tensor, "n_stored #copies batch pos d_head"]:
        """q, k or v of all stored heads from the input of head `h`, whether or not that changes."""
        cache, block = self.cache, self.cache.components.blocks[layer]
        dst, base = cache.graph.head_dst(layer, kind, h), cache.resid_pre[layer]
        if h in touched.inputs[kind]:
            x = self._read([dst], all_positions, base)
            self._keep_inputs([dst], x)
        else:
            x = self.rows.read(cache.inputs.get(dst, base), all_positions)[None, None]
        tables = cache.rotary(block.attention, all_positions)
        rows = project_layer(block.attention, kind, block.ln1(x[0]), tables)
        step = 1 if kind == "q" else block.attention.group
        out = self.rows.unpack(rows, cache.projected[kind][layer][::step], all_positions)
        if kind == "q" or self.rows.first == 0:
            return out
        prefix = cache.prefix[kind][layer][::step, None]
        return torch.cat([prefix.expand(-1, out.shape[1], -1, -1, -1), out], 3)

    def _merge(
        self, layer: int, kind: str, heads: list[int], moved: list[int], new: Tensor | None, all_positions: bool
    ) -> Float[Tensor, "n #copies batch pos d_head"]:
        """q, k or v of `heads`: the new ones of those that `moved`, else as they were."""
        if new is not None and moved == heads:
            return new
        old = self.cache.projected[kind][layer][index_of(heads)][:, None, :, self.rows.columns(all_positions)]
        here = [i for i, h in enumerate(moved) if h in heads]
        if new is None or not here:
            return old
        if len(here) == len(heads):
            return new[here]
        merged = old.repeat(1, self.copies, 1, 1, 1)
        merged[[heads.index(moved[i]) for i in here]] = new[here]
        return merged

    def _with_prefix(
        self, layer: int, kind: str, heads: list[int], moved: list[int], new: Tensor | None
    ) -> Float[Tensor, "n #copies batch key d_head"]:
        """k or v at all columns: those before the first row are constants."""
        now = self._merge(layer, kind, heads, moved, new, True)
        if self.rows.first == 0:
            return now
        prefix = self.cache.prefix[kind][layer][index_of(heads)][:, None]
        return torch.cat([prefix.expand(-1, now.shape[1], -1, -1, -1), now], 3)
