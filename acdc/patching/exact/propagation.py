"""One pass through what a change reaches: from a circuit's activations and a question to the last residual stream.

A question is what several copies of the batch, stacked, would compute without some edges. `propagate` answers it and
changes nothing; what it computed is given back as `Updates` where it is to be kept.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.models.components import Attention, index_of
from acdc.patching.attention import attend_heads, attend_layer, head_results, project_heads, project_layer
from acdc.patching.exact.cache import CircuitCache, Updates
from acdc.patching.exact.changes import Removal
from acdc.patching.exact.question import ChangedSources, Propagated, Question
from acdc.patching.exact.reachability import Groups, LayerReach

__all__ = ["Propagated", "Question", "propagate"]


def propagate(cache: CircuitCache, question: Question, *, keep: bool = False) -> Propagated:
    """Answer a question.

    Args:
        keep: Give back the activations of the one copy too; without, `updates` is empty.
    """
    with torch.no_grad():
        return _Pass(cache, question, keep).through_all_layers()


Projected = list[tuple[list[int], Tensor, int]]
"""Heads whose q, k or v moved, their new rows `[n copies rows d_head]`, and the group of rows."""


class _Pass:
    """The pass under way.

    Changes of sources are held by groups of rows: those at the last positions twice, if their span's are computed.
    """

    def __init__(self, cache: CircuitCache, question: Question, keep: bool) -> None:
        self.cache, self.question, self.keep = cache, question, keep
        self.mask, self.copies, self.rows = question.mask, question.copies, cache.rows
        self.updates = Updates()
        counts = [count + (question.input is not None) for count in question.reach.counts]
        counts[-1] += question.reach.counts[-2]
        self.changed = [
            ChangedSources(count, self.copies, self.rows.read(cache.out.input, group))
            for group, count in enumerate(counts)
        ]

    def through_all_layers(self) -> Propagated:
        """From the first layer to the last residual stream."""
        cache, new_input = self.cache, self.question.input
        if new_input is not None:
            change = (new_input - cache.out.input)[None, None]
            for group in range(self.rows.last):
                self._write([0], self.rows.read(change, group), group)
                self._keep_output(cache.out.input, self.rows.read(new_input, group), group)
        for layer, touched in enumerate(self.question.reach.layers):
            if any(touched.heads):
                self._attention(layer, touched)
            if touched.mlp:
                self._mlp(layer, touched.mlp)
        logits = cache.graph.whole.n_dst - 1
        x = self._read([logits], self.rows.last, cache.final)
        self._keep_inputs([logits], x, self.rows.last)
        return Propagated(x[0], self.updates)

    # -- what destinations read and sources write

    def _columns(self, dsts: list[int], group: int) -> list[int]:
        """A mask's columns of destinations of the whole graph, at the span of a group."""
        n, span = self.cache.graph.n_spans, min(group, self.rows.last - 1)
        return [dst * n + span for dst in dsts]

    def _read(self, dsts: list[int], group: int, base: Tensor) -> Float[Tensor, "n copies rows d_model"]:
        """The inputs of `dsts`: what they are now, the removed edges' changes, and the kept sources' changes."""
        cache, changed, columns = self.cache, self.changed[group], self._columns(dsts, group)
        base = self.rows.read(base, group)
        kept = self.mask[np.ix_(changed.sources, columns)]
        if kept.any():
            weights = torch.from_numpy(kept.T.copy()).to(base.device, base.dtype)
            x = (weights @ changed.changes.flatten(1)).view(len(dsts), self.copies, *base.shape)
        else:
            x = base.new_zeros(len(dsts), self.copies, *base.shape)
        for i, column in enumerate(columns):
            if column in self.question.removals:
                self._remove(x[i], column, self.question.removals[column], group)
        if any(column in cache.inputs for column in columns):
            for i, column in enumerate(columns):
                x[i] += self.rows.read(cache.inputs.get(column, base), group)
        else:
            x += base
        return x

    def _remove(self, x: Float[Tensor, "copies rows d_model"], dst: int, removal: Removal, group: int) -> None:
        """Add to the input of `dst` what removing edges changes."""
        changes, changed = self.cache.changes, self.changed[group]
        if removal.waiting is not None:
            x += changes.sum_of(removal.waiting, group)
        if removal.sources:
            x += changes.sums_of(removal.sources, removal.chosen, group)
            x -= self._cut_off(dst, removal, changed)

    def _cut_off(
        self, dst: int, removal: Removal, changed: ChangedSources
    ) -> Float[Tensor, "copies rows d_model"] | int:
        """Changes of sources that reach `dst` by edges which a copy removes: it no longer reads them."""
        row = {src: i for i, src in enumerate(changed.sources) if self.mask[src, dst]}
        both = [(i, row[src]) for i, src in enumerate(removal.sources) if src in row]
        if not both:
            return 0
        columns, rows = ([pair[k] for pair in both] for k in (0, 1))
        return torch.einsum("cn,ncrd->crd", removal.chosen[:, columns], changed.changes[rows])

    def _write(self, sources: list[int], change: Float[Tensor, "n copies rows d_model"], group: int) -> None:
        """Note the changes of sources for those who read them."""
        self.changed[group].add(sources, change)
        if group == self.rows.last - 1:
            self.changed[-1].add(sources, self.rows.read(change, self.rows.last))
        if self.keep:
            self.updates.sources.append((sources, group))

    def _keep_inputs(self, dsts: list[int], x: Float[Tensor, "n copies rows d_model"], group: int) -> None:
        if self.keep:
            self.updates.inputs |= {column: x[i, 0] for i, column in enumerate(self._columns(dsts, group))}

    def _keep_output(self, output: Tensor, value: Tensor, group: int) -> None:
        if self.keep:
            self.updates.outputs.append((output, value, group))

    # -- the parts of a layer

    def _mlp(self, layer: int, groups: Sequence[int]) -> None:
        cache, block = self.cache, self.cache.components.blocks[layer]
        dst, src, old = cache.graph.whole.mlp_dst(layer), cache.graph.mlp_src(layer), cache.out.mlp[layer]
        inputs = [self._read([dst], group, cache.resid_mid[layer]) for group in groups]
        outs = _together(lambda x: block.mlp(block.ln2(x)), [x[0] for x in inputs])
        for group, x, out in zip(groups, inputs, outs, strict=True):
            self._write([src], (out - self.rows.read(old, group))[None], group)
            self._keep_inputs([dst], x, group)
            self._keep_output(old, out[0], group)

    def _attention(self, layer: int, touched: LayerReach) -> None:
        attention = self.cache.components.blocks[layer].attention
        if attention.post_norm_eps is None:
            self._attention_of_heads(layer, attention, touched)
        else:
            self._attention_of_layers(layer, attention, touched)

    def _attention_of_heads(self, layer: int, attention: Attention, touched: LayerReach) -> None:
        """Heads that need nothing of each other."""
        new = {kind: self._project(layer, kind, touched.inputs[kind]) for kind in QKV}
        for heads, group in ((touched.all_positions, 0), (touched.last_position, self.rows.last)):
            if not heads:
                continue
            q = self._merge(layer, "q", heads, new["q"], group)
            k, v = (self._with_prefix(layer, kind, heads, new[kind]) for kind in ("k", "v"))
            z = attend_heads(attention, heads, q, k, v, self._bias(attention, heads, group))
            self._write_heads(layer, heads, z, touched)

    def _attention_of_layers(self, layer: int, attention: Attention, touched: LayerReach) -> None:
        """Heads before a norm: each is its slice of the whole layer on that head's inputs, a layer for each head."""
        for heads, group in ((touched.all_positions, 0), (touched.last_position, self.rows.last)):
            bias = self._bias(attention, range(attention.n_heads), group)
            for h in heads:
                q, k, v = (self._project_layer(layer, kind, h, touched, group if kind == "q" else 0) for kind in QKV)
                z = attend_layer(attention, q, k, v, bias)[h : h + 1]
                self._write_heads(layer, [h], z.expand(-1, self.copies, -1, -1, -1), touched)

    def _bias(self, attention: Attention, heads: Sequence[int], group: int) -> Tensor:
        """What is added to the scores of the queries that are computed."""
        bias = self.cache.layout.bias_of(attention, heads)
        return bias[..., self.rows.first :, :][..., self.rows.columns(group), :]

    def _write_heads(
        self, layer: int, heads: list[int], z: Float[Tensor, "n copies batch query d_head"], touched: LayerReach
    ) -> None:
        """Note what heads of a layer write with a new z, which has queries at all positions or at the last alone."""
        cache, all_positions, z = self.cache, z.shape[3] == self.rows.width, z.flatten(2, 3)
        for group in self.rows.groups:
            here = [i for i, h in enumerate(heads) if h in touched.heads[group]]
            if not here:
                continue
            some = [heads[i] for i in here]
            now = self.rows.take(z, group) if all_positions else z
            now = now if len(here) == len(heads) else now[here]
            old = self.rows.read(cache.out.z[layer][index_of(some)], group)
            change = head_results(cache.components.blocks[layer].attention, now - old[:, None], some)
            self._write([cache.graph.head_src(layer, h) for h in some], change, group)
            for i, h in enumerate(some):
                self._keep_output(cache.out.z[layer][h], now[i, 0], group)

    # -- queries, keys and values

    def _project(self, layer: int, kind: str, moved: Groups) -> Projected:
        """New q, k or v of the heads whose input changes, where it does."""
        cache, block, found = self.cache, self.cache.components.blocks[layer], Projected()
        for group, heads in enumerate(moved):
            if not heads:
                continue
            dsts = [cache.graph.whole.head_dst(layer, kind, h) for h in heads]
            x = self._read(dsts, group, cache.resid_pre[layer])
            rows = project_heads(block.attention, kind, block.ln1(x), heads, cache.rotary(block.attention, group))
            found.append((heads, rows, group))
            self._keep_inputs(dsts, x, group)
            if self.keep:
                of_heads, places = cache.projected[kind][layer].flatten(1, 2), self.rows.places[group]
                self.updates.projected += [(of_heads[h], places, rows[i, 0]) for i, h in enumerate(heads)]
        return found

    def _merge(
        self, layer: int, kind: str, heads: list[int], new: Projected, group: int
    ) -> Float[Tensor, "n #copies batch pos d_head"]:
        """q, k or v of `heads`, at all positions or the last: the new ones where they moved, else as they were."""
        rows, at_last = self.rows, group == self.rows.last
        old = self.cache.projected[kind][layer][index_of(heads)][:, None, :, rows.columns(group)]
        merged: Tensor | None = None
        for moved, value, there in new:
            here = [i for i, h in enumerate(moved) if h in heads]
            if not here or (at_last and there != rows.last):
                continue
            value = value if len(here) == len(moved) else value[here]
            everywhere = at_last or (rows.are_all and there != rows.last)
            if everywhere and len(here) == len(heads):
                merged = value
                continue
            merged = old.repeat(1, self.copies, 1, 1, 1).flatten(2, 3) if merged is None else merged
            where = index_of([heads.index(moved[i]) for i in here])
            if everywhere:
                merged[where] = value
            else:
                merged[where] = merged[where].index_copy(2, rows.places[there], value)
        return old if merged is None else merged.unflatten(2, (rows.batch, -1))

    def _with_prefix(
        self, layer: int, kind: str, heads: list[int], new: Projected
    ) -> Float[Tensor, "n #copies batch key d_head"]:
        """k or v at all columns: those before the first row are constants."""
        now = self._merge(layer, kind, heads, new, 0)
        if self.rows.first == 0:
            return now
        prefix = self.cache.prefix[kind][layer][index_of(heads)][:, None]
        return torch.cat([prefix.expand(-1, now.shape[1], -1, -1, -1), now], 3)

    def _project_layer(
        self, layer: int, kind: str, h: int, touched: LayerReach, group: int
    ) -> Float[Tensor, "n_stored #copies batch pos d_head"]:
        """q, k or v of all stored heads from the input of head `h`, whether or not that changes."""
        cache, block, rows = self.cache, self.cache.components.blocks[layer], self.rows
        all_positions = group != rows.last
        x = self._all_of(layer, kind, h, touched) if all_positions else self._input(layer, kind, h, touched, group)
        tables = cache.rotary(block.attention, None if all_positions else group)
        found = project_layer(block.attention, kind, block.ln1(x), tables)
        if not all_positions:
            return found.unsqueeze(3)
        step = 1 if kind == "q" else block.attention.group
        out = rows.unpack(found, cache.projected[kind][layer][::step])
        if kind == "q" or rows.first == 0:
            return out
        prefix = cache.prefix[kind][layer][::step, None]
        return torch.cat([prefix.expand(-1, out.shape[1], -1, -1, -1), out], 3)

    def _all_of(self, layer: int, kind: str, h: int, touched: LayerReach) -> Float[Tensor, "#copies rows d_model"]:
        """The input of a head at all rows."""
        rows, last = self.rows, self.rows.last
        found = [self._input(layer, kind, h, touched, group) for group in range(last)]
        if kind == "q" and h in touched.heads[last]:
            x = self._input(layer, kind, h, touched, last)
            found[-1] = found[-1].repeat(len(x), 1, 1).index_copy_(1, rows.at_last - rows.bounds[-2], x)
        copies = max(map(len, found))
        return found[0] if last == 1 else torch.cat([x.expand(copies, -1, -1) for x in found], 1)

    def _input(
        self, layer: int, kind: str, h: int, touched: LayerReach, group: int
    ) -> Float[Tensor, "#copies rows d_model"]:
        """The input of a head at a group of rows; that of no account if it isn't kept there."""
        cache, dst, base = self.cache, self.cache.graph.whole.head_dst(layer, kind, h), self.cache.resid_pre[layer]
        if h in touched.inputs[kind][group]:
            x = self._read([dst], group, base)
            self._keep_inputs([dst], x, group)
            return x[0]
        (column,) = self._columns([dst], group)
        held = cache.inputs.get(column, base)
        return self.rows.read(held if len(held) >= self.rows.sizes[group] else base, group)[None]


def _together(function: Callable[[Tensor], Tensor], xs: list[Tensor]) -> Sequence[Tensor]:
    """A function of rows, of several groups of them at once."""
    if len(xs) == 1:
        return [function(xs[0])]
    return function(torch.cat(xs, -2)).split([x.shape[-2] for x in xs], -2)
