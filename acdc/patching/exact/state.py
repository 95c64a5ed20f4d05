"""The exact engine: a circuit's activations on a batch, asked "what would the loss be without these edges?".

`CircuitState` starts as the whole model and loses edges. A question is answered by one propagation: the removed edges
change the inputs of their destinations by `ablated_s - out_s`, and only what these changes reach through kept edges is
computed, at the positions where it is read, for several questions at once, stacked as copies of the batch. The answer
is the one that a whole masked forward would give. The facts that this rests on are numbered in `docs/engine.md`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.defaults import MEMORY
from acdc.models.components import Attention, index_of
from acdc.patching.activations import NodeOutputs
from acdc.patching.attention import attend_heads, attend_layer, head_results, project_heads, project_layer
from acdc.patching.exact.reachability import LayerReach, Reach, reach, reading
from acdc.patching.layout import Layout, Tables
from acdc.patching.problem import Problem

__all__ = ["CircuitState", "Edge"]

Edge = tuple[int, int]  # row of the source, column of the destination
COLUMNS = {True: slice(None), False: slice(-1, None)}  # where something is read: everywhere, or at the target
MOST_WAITING = 64  # removals that are carried along before they are folded in
WORTH = 1.3  # how much more a question may touch on their account


class Cost(NamedTuple):
    """What a propagation takes: bytes held and floating-point operations of each copy of the batch, and bytes of
    weights, which all copies share."""

    memory: int
    flops: int
    weights: int


class Known(NamedTuple):
    """Changes `ablated_s - out_s`, of which those that are `fresh` hold."""

    changes: Float[Tensor, "src rows d_model"]
    fresh: Bool[np.ndarray, " src"]


@dataclass
class Waiting:
    """Sources whose edges into a destination are gone and not folded in yet; until then, their changes stay the same.

    `sums` holds the sum of the changes of the first so many of them, everywhere or at the target.
    """

    sources: list[int] = field(default_factory=list)
    sums: dict[bool, tuple[int, Float[Tensor, "rows d_model"]]] = field(default_factory=dict)


class Removal(NamedTuple):
    """Edges into one destination that go: all copies go without those that wait, copy c also without those of
    `sources` where `chosen[c]` is 1."""

    waiting: Waiting | None
    sources: list[int]
    chosen: Float[Tensor, "copies n"]


class CircuitState:
    """A circuit's activations on a problem's batch.

    Activations hold only the **rows** that can change, one for each position of each prompt from the first on at which
    the ablated run can differ (fact 5), padding left out. Something read everywhere has all rows; something read at the
    target alone has one row a prompt.

    Args:
        problem: Model, batch, clean and ablated runs, metric.
        memory: About how many bytes one propagation may take; it bounds the copies, not the model.

    Attributes:
        mask: The kept edges; read it, don't write it.
        forward_passes: Copies of the batch that were propagated so far; `propagations`: how often.
    """

    def __init__(self, problem: Problem, *, memory: int = MEMORY) -> None:
        self.problem, self.memory = problem, memory
        self.graph, self.components = problem.model.graph, problem.model.components
        self.mask = self.graph.edges_mask.numpy().copy()
        self.forward_passes = self.propagations = 0
        self._pending: dict[int, Waiting] = {}
        self._take_runs(problem)
        self._survey()

    @torch.no_grad()
    def _take_runs(self, problem: Problem) -> None:
        """The clean run, at the rows that can change."""
        active, clean, ablated = problem.ablated.active, problem.clean, problem.ablated.outputs
        first = int(active.any(0).nonzero()[0])
        self._first, (self._batch, self._width) = first, active[:, first:].shape
        self._rows = active[:, first:].flatten().nonzero()[:, 0]
        self._target = (active[:, first:].flatten().cumsum(0) - 1).view(self._batch, -1)[:, -1]
        self._layout = Layout(problem.batch, problem.model.dtype)
        self._tables: dict[int, Tables] = {}  # by the identity of whole tables, which most layers share
        self._out, self._ablated = (
            NodeOutputs(self._pack(run.input), tuple(map(self._pack, run.z)), tuple(map(self._pack, run.mlp)))
            for run in (clean.outputs, ablated)
        )
        group = self.graph.n_heads // clean.k[0].shape[0]
        self._projected = {
            "q": [q[:, :, first:].clone() for q in clean.q],
            "k": [k[:, :, first:].repeat_interleave(group, 0) for k in clean.k],
            "v": [v[:, :, first:].repeat_interleave(group, 0) for v in clean.v],
        }
        self._prefix = {
            "k": [k[:, :, :first].repeat_interleave(group, 0) for k in clean.k],
            "v": [v[:, :, :first].repeat_interleave(group, 0) for v in clean.v],
        }
        self._before_attention = [self._pack(x) for x in clean.resid_pre]
        self._before_mlp = [self._pack(x) for x in clean.resid_mid]
        self._final = clean.final[:, -1]
        self._known = {everywhere: self._room_for_changes(everywhere) for everywhere in (True, False)}
        self._inputs: dict[int, Tensor] = {}  # inputs of destinations that differ from the clean residual stream
        self.loss = float(problem.objective.loss(self._logits(self._final)))

    def _pack(self, x: Float[Tensor, "*n batch pos d"]) -> Float[Tensor, "*n rows d"]:
        """The rows that can change, of all columns of a batch; a copy."""
        return x[..., self._first :, :].flatten(-3, -2)[..., self._rows, :]

    def _tables_at(self, attention: Attention, everywhere: bool) -> Tables | None:
        """A layer's rotary tables at all rows, or at those of the targets."""
        whole = self._layout.rotary(attention)
        if whole is None:
            return None
        if id(whole) not in self._tables:
            self._tables[id(whole)] = self._pack(whole[0]), self._pack(whole[1])
        cos, sin = self._tables[id(whole)]
        return self._read_at(cos, everywhere), self._read_at(sin, everywhere)

    def _read_at(self, x: Float[Tensor, "*n rows d"], everywhere: bool) -> Float[Tensor, "*n rows_or_batch d"]:
        """All rows of `x`, or those of the targets, if it isn't these alone."""
        return x if everywhere or x.shape[-2] == self._batch else x[..., self._target, :]

    # -- what is asked of it

    def is_useful(self, dst: int) -> bool:
        """Whether the destination's node still has a kept outgoing edge; if not, its inputs can't matter (fact 3)."""
        src = self.graph.src_of_dst[dst]
        return src is None or bool(self.mask[src].any())

    @torch.no_grad()
    def losses(
        self, edges: Sequence[Edge], removed: Bool[np.ndarray, "copies edges"] | None = None
    ) -> Float64[Tensor, " copies"]:
        """The loss without some of the kept `edges`, besides those that are removed already.

        Args:
            edges: Different kept edges.
            removed: Which of them each copy goes without; if None, each copy without one of them.
        """
        removed = np.eye(len(edges), dtype=bool) if removed is None else removed
        dsts = sorted({dst for _, dst in edges})
        self.settle(dsts)
        dsts = sorted({*dsts, *self._pending})
        found = self._reach(dsts)
        wanted = {dst: self._removal(dst, edges, removed) for dst in dsts}
        copies = len(removed)
        self.forward_passes += copies
        self.propagations += 1
        if not found.logits:
            return torch.full((copies,), self.loss, dtype=torch.float64)
        final = _Propagation(self, found, wanted, copies, keep=False).final()
        return self._losses_of(final)

    def settle(self, dsts: Sequence[int]) -> None:
        """Make ready for a question about edges into `dsts`: fold in removals that wait elsewhere, unless carrying
        them along touches little more than the question does.

        `losses` does so itself; a search that takes losses from a record must do it at the same times.
        """
        if set(self._pending) <= set(dsts):
            return
        self._survey()
        self._pending = {dst: waiting for dst, waiting in self._pending.items() if self._read.useful[dst]}
        together = sorted({*dsts, *self._pending})
        width = len(self._rows) / self._batch
        waiting = sum(len(waiting.sources) for waiting in self._pending.values())
        if waiting > MOST_WAITING or self._reach(together).work(width) > WORTH * self._reach(sorted(dsts)).work(width):
            self._fold()

    def remove(self, edges: Sequence[Edge], loss: float | None = None) -> None:
        """Commit removals. `loss` is the loss without them, as `losses` gave it; None where it can't change."""
        for src, dst in edges:
            assert self.mask[src, dst], "the edge was removed before"
            if self.is_useful(dst):
                self._pending.setdefault(dst, Waiting()).sources.append(src)
            self.mask[src, dst] = False
        if loss is not None:
            self.loss = loss

    def cost(self, dsts: Iterable[int]) -> Cost:
        """About what a question about edges into `dsts` takes."""
        return cost_of(self.problem, self._reach(sorted(dsts)), len(self._rows))

    # -- how it is answered

    def _reach(self, dsts: Sequence[int]) -> Reach:
        key = tuple(dsts)
        if key not in self._reaches:
            self._reaches[key] = reach(self.graph, self.mask, self._read, key)
        return self._reaches[key]

    def _removal(self, dst: int, edges: Sequence[Edge], removed: Bool[np.ndarray, "copies edges"]) -> Removal:
        """Which copy removes which edges into `dst`, those that wait to be folded in included."""
        here = [i for i, edge in enumerate(edges) if edge[1] == dst]
        chosen = torch.from_numpy(removed[:, here]).to(self._out.input.device, self._out.input.dtype)
        return Removal(self._pending.get(dst), [edges[i][0] for i in here], chosen)

    def _survey(self) -> None:
        """Note where each destination is read now."""
        self._read = reading(self.graph, self.mask)
        self._reaches: dict[tuple[int, ...], Reach] = {}

    @torch.no_grad()
    def _fold(self) -> None:
        """Take the waiting removals into the activations."""
        nothing = self._out.input.new_empty(1, 0)
        wanted = {dst: Removal(waiting, [], nothing) for dst, waiting in self._pending.items()}
        self._pending = {}
        if wanted:
            _Propagation(self, self._reach(sorted(wanted)), wanted, 1, keep=True).final()
            self.propagations += 1
            self.forward_passes += 1

    def _change_if_removed(self, sources: list[int], everywhere: bool) -> Float[Tensor, "n rows d_model"]:
        """`ablated_s - out_s` in the residual stream."""
        known = self._known[everywhere]
        if known is None:
            return self._compute_change(sources, everywhere)
        if missing := [src for src in sources if not known.fresh[src]]:
            known.changes[missing] = self._compute_change(missing, everywhere)
            known.fresh[missing] = True
        return known.changes[index_of(sources)]

    def _sum_of(self, waiting: Waiting, everywhere: bool) -> Float[Tensor, "rows d_model"]:
        """The sum of the changes of all that wait for a destination, one after another: a search that goes on from a
        checkpoint sums them in other portions, and must find the same bits."""
        done, total = waiting.sums.get(everywhere, (0, torch.zeros((), dtype=self._out.input.dtype)))
        for src in waiting.sources[done:]:
            total = self._change_if_removed([src], everywhere)[0] + total
        waiting.sums[everywhere] = len(waiting.sources), total
        return total

    def _room_for_changes(self, everywhere: bool) -> Known | None:
        """Where changes are kept between questions; None if they would take too much."""
        like = self._read_at(self._out.input, everywhere)
        if self.graph.n_src * like.numel() * like.element_size() > self.memory // 4:
            return None
        return Known(like.new_empty(self.graph.n_src, *like.shape), np.zeros(self.graph.n_src, bool))

    def _compute_change(self, sources: list[int], everywhere: bool) -> Float[Tensor, "n rows d_model"]:
        like = self._read_at(self._out.input, everywhere)
        change = like.new_empty(len(sources), *like.shape)
        by_layer: dict[int, list[tuple[int, int]]] = {}
        for i, src in enumerate(sources):
            layer, h = divmod(src - 1, self.graph.n_heads + 1)
            if src == 0:
                change[i] = self._read_at(self._ablated.input - self._out.input, everywhere)
            elif h == self.graph.n_heads:
                change[i] = self._read_at(self._ablated.mlp[layer] - self._out.mlp[layer], everywhere)
            else:
                by_layer.setdefault(layer, []).append((i, h))
        for layer, pairs in by_layer.items():
            places, heads = [i for i, _ in pairs], [h for _, h in pairs]
            here = index_of(heads)
            z = self._read_at(self._ablated.z[layer][here] - self._out.z[layer][here], everywhere)
            change[places] = head_results(self.components.blocks[layer].attention, z, heads)
        return change

    def _logits(self, final: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows n_tokens"]:
        """The logits that the metric reads (fact 7)."""
        return self.problem.model.unembed(final, self.problem.objective.tokens)

    def _losses_of(self, final: Float[Tensor, "copies batch d_model"]) -> Float64[Tensor, " copies"]:
        """Losses of stacked copies, a few copies' logits at a time."""
        tokens = self.problem.objective.tokens
        n_tokens = len(self.components.unembed) if tokens is None else len(tokens)
        size = max(1, self.memory // 8 // (final.shape[1] * n_tokens * max(4, final.element_size())))
        return torch.cat(
            [self.problem.objective.loss(self._logits(part.flatten(0, 1))).cpu() for part in final.split(size)]
        )


class _Propagation:
    """One pass through what a change reaches.

    Changes of sources are held twice in the residual stream: all rows of the sources that are read everywhere (`wide`),
    and the target's rows of all (`narrow`).
    """

    def __init__(self, state: CircuitState, found: Reach, wanted: dict[int, Removal], copies: int, keep: bool) -> None:
        self.state, self.wanted, self.found, self.copies, self.keep = state, wanted, found, copies, keep
        like = state._out.input
        self.wide = like.new_empty(found.n_everywhere, copies, *like.shape)
        self.narrow = like.new_empty(found.n_changed, copies, *state._final.shape)
        self.wide_sources: list[int] = []
        self.narrow_sources: list[int] = []
        self.outputs: list[tuple[Tensor, Tensor]] = []  # to be kept, last of all: removals read the old ones

    def final(self) -> Float[Tensor, "copies batch d_model"]:
        """Go through the layers; the last residual stream at the target."""
        for layer, touched in enumerate(self.found.layers):
            if touched.everywhere or touched.target:
                self._attention(layer, touched)
            if touched.mlp:
                self._mlp(layer, touched.mlp_everywhere)
        logits = self.state.graph.n_dst - 1
        x = self._read([logits], False, self.state._final)
        if self.keep:
            self.state._inputs[logits] = x[0, 0]
            self._keep_outputs()
        return x[0]

    def _keep_outputs(self) -> None:
        for place, value in self.outputs:
            if len(value) == len(place):
                place.copy_(value)
            else:
                place[self.state._target] = value
        for known in self.state._known.values():
            if known is not None:
                known.fresh[self.narrow_sources] = False

    def _read(self, dsts: list[int], everywhere: bool, base: Tensor) -> Float[Tensor, "n copies rows d_model"]:
        """The inputs of `dsts`: what they are now, the removed edges' changes, and the kept sources' changes."""
        state = self.state
        base = state._read_at(base, everywhere)
        changes, sources = (self.wide, self.wide_sources) if everywhere else (self.narrow, self.narrow_sources)
        kept = state.mask[np.ix_(sources, dsts)]
        if kept.any():
            weights = torch.from_numpy(kept.T.copy()).to(changes.device, changes.dtype)
            x = (weights @ changes[: len(sources)].flatten(1)).view(len(dsts), self.copies, *base.shape)
        else:
            x = changes.new_zeros(len(dsts), self.copies, *base.shape)
        for i, dst in enumerate(dsts):
            if dst in self.wanted:
                removal = self.wanted[dst]
                if removal.waiting is not None:
                    x[i] += state._sum_of(removal.waiting, everywhere)
                if removal.sources:
                    change = state._change_if_removed(removal.sources, everywhere)
                    x[i].view(self.copies, -1).addmm_(removal.chosen, change.flatten(1))
                    x[i] -= self._cut_off(dst, removal, changes, sources)
        if any(dst in state._inputs for dst in dsts):
            for i, dst in enumerate(dsts):
                x[i] += state._read_at(state._inputs.get(dst, base), everywhere)
        else:
            x += base
        return x

    def _cut_off(
        self, dst: int, removal: Removal, changes: Tensor, sources: list[int]
    ) -> Float[Tensor, "copies rows d_model"] | int:
        """Changes of sources that reach `dst` by edges which a copy removes: it no longer reads them."""
        row = {src: i for i, src in enumerate(sources) if self.state.mask[src, dst]}
        both = [(i, row[src]) for i, src in enumerate(removal.sources) if src in row]
        if not both:
            return 0
        columns, rows = ([pair[k] for pair in both] for k in (0, 1))
        return torch.einsum("cn,ncrd->crd", removal.chosen[:, columns], changes[rows])

    def _write(self, sources: list[int], change: Float[Tensor, "n copies rows d_model"], everywhere: bool) -> None:
        """Note the changes of sources for those who read them."""
        if everywhere:
            self.wide[len(self.wide_sources) : len(self.wide_sources) + len(sources)] = change
            self.wide_sources += sources
        end = len(self.narrow_sources) + len(sources)
        self.narrow[len(self.narrow_sources) : end] = self.state._read_at(change, False)
        self.narrow_sources += sources

    def _mlp(self, layer: int, everywhere: bool) -> None:
        state, block = self.state, self.state.components.blocks[layer]
        dst, src = state.graph.mlp_dst(layer), state.graph.mlp_src(layer)
        x = self._read([dst], everywhere, state._before_mlp[layer])
        out = block.mlp(block.ln2(x[0]))
        self._write([src], (out - state._read_at(state._out.mlp[layer], everywhere))[None], everywhere)
        if self.keep:
            state._inputs[dst] = x[0, 0]
            self.outputs.append((state._out.mlp[layer], out[0]))

    def _attention(self, layer: int, touched: LayerReach) -> None:
        attention = self.state.components.blocks[layer].attention
        if attention.post_norm_eps is None:
            self._attention_of_heads(layer, attention, touched)
        else:
            self._attention_of_layers(layer, attention, touched)

    def _attention_of_heads(self, layer: int, attention: Attention, touched: LayerReach) -> None:
        """Heads that need nothing of each other."""
        new = {kind: self._project(layer, kind, touched.inputs[kind]) for kind in ("k", "v")}
        for heads, everywhere in ((touched.everywhere, True), (touched.target, False)):
            if not heads:
                continue
            moved = [h for h in touched.inputs["q"] if h in heads]
            q = self._merge(layer, "q", heads, moved, self._project(layer, "q", moved, everywhere), everywhere)
            k, v = (self._with_prefix(layer, kind, heads, touched.inputs[kind], new[kind]) for kind in ("k", "v"))
            z = attend_heads(attention, heads, q, k, v, self._bias(attention, heads, everywhere))
            self._write_heads(layer, heads, z, everywhere)

    def _attention_of_layers(self, layer: int, attention: Attention, touched: LayerReach) -> None:
        """Heads before a norm: each is its slice of the whole layer on that head's inputs, a layer for each head."""
        for heads, everywhere in ((touched.everywhere, True), (touched.target, False)):
            bias = self._bias(attention, range(attention.n_heads), everywhere)
            for h in heads:
                q, k, v = (self._project_layer(layer, kind, h, touched, everywhere or kind != "q") for kind in QKV)
                z = attend_layer(attention, q, k, v, bias)[h : h + 1]
                self._write_heads(layer, [h], z.expand(-1, self.copies, -1, -1, -1), everywhere)

    def _bias(self, attention: Attention, heads: Sequence[int], everywhere: bool) -> Tensor:
        """What is added to the scores of the queries that are computed."""
        bias = self.state._layout.bias_of(attention, heads)
        return bias[..., self.state._first :, :][..., COLUMNS[everywhere], :]

    def _write_heads(
        self, layer: int, heads: list[int], z: Float[Tensor, "n copies batch query d_head"], everywhere: bool
    ) -> None:
        """Note what heads of a layer write with a new z."""
        state, z = self.state, z.flatten(2, 3)
        if everywhere and len(state._rows) < z.shape[2]:
            z = z[:, :, state._rows]
        before = state._read_at(state._out.z[layer][index_of(heads)], everywhere)
        change = head_results(state.components.blocks[layer].attention, z - before[:, None], heads)
        self._write([state.graph.head_src(layer, h) for h in heads], change, everywhere)
        if self.keep:
            self.outputs += [(state._out.z[layer][h], z[i, 0]) for i, h in enumerate(heads)]

    def _project(self, layer: int, kind: str, heads: list[int], everywhere: bool = True) -> Tensor | None:
        """New q, k or v, `[n copies batch pos d_head]`, of the heads whose input changes; None without such heads."""
        if not heads:
            return None
        state, block = self.state, self.state.components.blocks[layer]
        dsts = [state.graph.head_dst(layer, kind, h) for h in heads]
        x = self._read(dsts, everywhere, state._before_attention[layer])
        tables = state._tables_at(block.attention, everywhere)
        out = project_heads(block.attention, kind, block.ln1(x), heads, tables)
        if self.keep:
            for i, dst in enumerate(dsts):
                state._inputs[dst] = x[i, 0]
        out = self._unpack(out, state._projected[kind][layer][index_of(heads)], everywhere)
        if self.keep:
            for i, h in enumerate(heads):
                state._projected[kind][layer][h][:, COLUMNS[everywhere]] = out[i, 0]
        return out

    def _project_layer(
        self, layer: int, kind: str, h: int, touched: LayerReach, everywhere: bool
    ) -> Float[Tensor, "n_stored #copies batch pos d_head"]:
        """q, k or v of all stored heads from the input of head `h`, whether or not that changes."""
        state, block = self.state, self.state.components.blocks[layer]
        dst, now = state.graph.head_dst(layer, kind, h), state._before_attention[layer]
        if h in touched.inputs[kind]:
            x = self._read([dst], everywhere, now)[0]
            if self.keep:
                state._inputs[dst] = x[0]
        else:
            x = state._read_at(state._inputs.get(dst, now), everywhere)[None]
        tables = state._tables_at(block.attention, everywhere)
        rows = project_layer(block.attention, kind, block.ln1(x), tables)
        step = 1 if kind == "q" else block.attention.group
        rows = self._unpack(rows, state._projected[kind][layer][::step], everywhere)
        if kind == "q" or state._first == 0:
            return rows
        prefix = state._prefix[kind][layer][::step, None]
        return torch.cat([prefix.expand(-1, rows.shape[1], -1, -1, -1), rows], 3)

    def _unpack(
        self, rows: Float[Tensor, "n copies rows d_head"], now: Float[Tensor, "n batch pos d_head"], everywhere: bool
    ) -> Float[Tensor, "n copies batch pos_or_1 d_head"]:
        """Rows at their places in the batch; where there is none, what is there now."""
        state = self.state
        if not everywhere:
            return rows.unsqueeze(3)
        if rows.shape[2] < now.shape[1] * now.shape[2]:
            whole = now.flatten(1, 2)[:, None].repeat(1, rows.shape[1], 1, 1)
            rows = whole.index_copy_(2, state._rows, rows)
        return rows.unflatten(2, (state._batch, state._width))

    def _merge(
        self, layer: int, kind: str, heads: list[int], moved: list[int], new: Tensor | None, everywhere: bool = True
    ) -> Float[Tensor, "n #copies batch pos d_head"]:
        """q, k or v of `heads`: the new ones of those that `moved`, else as they were."""
        if new is not None and moved == heads:
            return new
        now = self.state._projected[kind][layer][index_of(heads)][:, None, :, COLUMNS[everywhere]]
        here = [i for i, h in enumerate(moved) if h in heads]
        if new is None or not here:
            return now
        if len(here) == len(heads):
            return new[here]
        merged = now.repeat(1, self.copies, 1, 1, 1)
        merged[[heads.index(moved[i]) for i in here]] = new[here]
        return merged

    def _with_prefix(
        self, layer: int, kind: str, heads: list[int], moved: list[int], new: Tensor | None
    ) -> Float[Tensor, "n #copies batch key d_head"]:
        """k or v at all columns: those before the first row are constants."""
        now = self._merge(layer, kind, heads, moved, new)
        if self.state._first == 0:
            return now
        prefix = self.state._prefix[kind][layer][index_of(heads)][:, None]
        return torch.cat([prefix.expand(-1, now.shape[1], -1, -1, -1), now], 3)


def cost_of(problem: Problem, found: Reach, n_rows: int) -> Cost:
    """About what a propagation takes."""
    graph, batch, tokens = problem.model.graph, problem.batch.n, problem.objective.tokens
    d_model, d_head = graph.d_model, problem.clean.q[0].shape[-1]
    n_logits = len(problem.model.components.unembed) if tokens is None else len(tokens)
    flops, weights, at_once = 2 * batch * d_model * n_logits, d_model * n_logits, 0
    for block, touched in zip(problem.model.components.blocks, found.layers, strict=True):
        wide, narrow, inputs = len(touched.everywhere), len(touched.target), touched.inputs
        queries = wide * n_rows + narrow * batch
        projected = (len(inputs["k"]) + len(inputs["v"])) * n_rows
        projected += sum(n_rows if h in touched.everywhere else batch for h in inputs["q"])
        layers_a_head = graph.n_heads if block.attention.post_norm_eps is not None else 1
        mlp = touched.mlp * (n_rows if touched.mlp_everywhere else batch)
        flops += layers_a_head * 2 * d_model * d_head * (projected + queries) + 16 * d_model * d_model * mlp
        weights += 4 * d_model * d_head * (wide + narrow) + 8 * d_model * d_model * touched.mlp
        scores = 2 * queries * problem.batch.n_pos // d_model
        at_once = max(at_once, 2 * projected + queries + scores, 12 * mlp)
    rows = found.n_everywhere * n_rows + found.n_changed * batch + 4 * batch + at_once
    size = problem.clean.final.element_size()
    return Cost(rows * d_model * size, flops, weights * size)
