"""The exact engine: a circuit's activations on a batch, asked "what would the loss be without these edges?".

`CircuitState` starts as the whole model and loses edges. A question is answered by one propagation: the removed edges
change the inputs of their destinations by `ablated_s - out_s`, and only what these changes reach through kept edges is
computed, at the positions where it is read, for several questions at once, stacked as copies of the batch. The answer
is the one that a whole masked forward would give. The facts that this rests on are numbered in `docs/engine.md`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from acdc.graph import Graph
from acdc.patching.activations import Outputs, head_rows
from acdc.patching.attention import Layout, attend, project, rotate
from acdc.patching.problem import Problem
from acdc.patching.reach import LayerReach, Reach, Reading, reach, reading

__all__ = ["CircuitState", "Edge"]

Edge = tuple[int, int]  # row of the source, column of the destination
MOST_WAITING = 64  # removals that are carried along before they are folded in
WORTH = 1.3  # how much more a question may touch on their account
COLUMNS = {True: slice(None), False: slice(-1, None)}  # positions at which something is read: all, or the target


class Cost(NamedTuple):
    """What one copy of the batch takes in a propagation: bytes held, and floating-point operations."""

    memory: int
    flops: int


class Known(NamedTuple):
    """Changes `ablated_s - out_s`, of which those that are `fresh` hold."""

    changes: Float[Tensor, "src batch pos d_model"]
    fresh: Bool[np.ndarray, " src"]


class Removal(NamedTuple):
    """Edges into one destination that go: all copies go without the `waiting` sources, copy c also without those of
    `sources` where `chosen[c]` is 1."""

    waiting: list[int]
    sources: list[int]
    chosen: Float[Tensor, "copies n"]


class CircuitState:
    """A circuit's activations on a problem's batch.

    Args:
        problem: Model, batch, clean and ablated runs, metric.
        memory: About how many bytes one propagation may take; it bounds the copies, not the model.

    Attributes:
        mask: The kept edges; read it, don't write it.
        forward_passes: Copies of the batch that were propagated so far; `propagations`: how often.
    """

    def __init__(self, problem: Problem, *, memory: int = 256 * 2**20) -> None:
        self.problem, self.memory = problem, memory
        self.graph, self.parts = problem.model.graph, problem.model.parts
        self.mask = self.graph.edges_mask.numpy().copy()
        self.forward_passes = self.propagations = 0
        self._pending: dict[int, list[int]] = {}
        self._take_runs(problem)
        self._survey()

    @torch.no_grad()
    def _take_runs(self, problem: Problem) -> None:
        """The clean run, from the first column that can change on (fact 5)."""
        first, clean, ablated = problem.ablated.first, problem.clean, problem.ablated.outputs
        self._layout = Layout(problem.batch, self.parts, problem.model.dtype)
        self._tables = self._layout.rotary()
        if self._tables is not None:
            self._tables = (self._tables[0][:, first:], self._tables[1][:, first:])
        self._first = first
        self._out = _cut(clean.outputs, first, own=True)
        self._ablated = _cut(ablated, first, own=False)
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
        self._before_attention = [x[:, first:] for x in clean.before_attention]
        self._before_mlp = [x[:, first:] for x in clean.before_mlp]
        self._final = clean.final[:, -1:]
        self._known = {everywhere: self._room_for_changes(everywhere) for everywhere in (True, False)}
        self._inputs: dict[int, Tensor] = {}  # inputs of destinations that differ from the clean residual stream
        self.loss = float(problem.objective.loss(self._logits(self._final[:, 0])))

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
        self._pending = {dst: srcs for dst, srcs in self._pending.items() if self._read.useful[dst]}
        together = sorted({*dsts, *self._pending})
        width, waiting = self._out.input.shape[1], sum(map(len, self._pending.values()))
        if waiting > MOST_WAITING or self._reach(together).work(width) > WORTH * self._reach(sorted(dsts)).work(width):
            self._fold()

    def remove(self, edges: Sequence[Edge], loss: float | None = None) -> None:
        """Commit removals. `loss` is the loss without them, as `losses` gave it; None where it can't change."""
        for src, dst in edges:
            assert self.mask[src, dst], "the edge was removed before"
            if self.is_useful(dst):
                self._pending.setdefault(dst, []).append(src)
            self.mask[src, dst] = False
        if loss is not None:
            self.loss = loss

    def cost(self, dst: int) -> Cost:
        """At most what one copy of a question about edges into `dst` and later destinations takes."""
        return self._costs[self.graph.layer_of(self.graph.destinations[dst])]

    # -- how it is answered

    def _reach(self, dsts: Sequence[int]) -> Reach:
        key = tuple(dsts)
        if key not in self._reaches:
            self._reaches[key] = reach(self.graph, self.mask, self._read, key)
        return self._reaches[key]

    def _removal(self, dst: int, edges: Sequence[Edge], removed: Bool[np.ndarray, "copies edges"]) -> Removal:
        """Which copy removes which edges into `dst`, those that wait to be folded in included."""
        waiting = self._pending.get(dst, [])
        here = [i for i, edge in enumerate(edges) if edge[1] == dst]
        chosen = torch.from_numpy(removed[:, here]).to(self._out.input.device, self._out.input.dtype)
        return Removal(waiting, [edges[i][0] for i in here], chosen)

    def _survey(self) -> None:
        """Note where each destination is read now, and what propagations from each layer on can cost at most."""
        self._read = reading(self.graph, self.mask)
        self._reaches: dict[tuple[int, ...], Reach] = {}
        self._costs = costs(self.problem, self.graph, self._read, self._out.input)

    @torch.no_grad()
    def _fold(self) -> None:
        """Take the waiting removals into the activations."""
        nothing = self._out.input.new_empty(1, 0)
        wanted = {dst: Removal(srcs, [], nothing) for dst, srcs in self._pending.items()}
        self._pending = {}
        if wanted:
            _Propagation(self, self._reach(sorted(wanted)), wanted, 1, keep=True).final()
            self.propagations += 1
            self.forward_passes += 1

    def _change_if_removed(self, sources: list[int], everywhere: bool) -> Float[Tensor, "n batch pos d_model"]:
        """`ablated_s - out_s` in the residual stream, at all positions or at the target."""
        known = self._known[everywhere]
        if known is None:
            return self._compute_change(sources, COLUMNS[everywhere])
        if missing := [src for src in sources if not known.fresh[src]]:
            known.changes[missing] = self._compute_change(missing, COLUMNS[everywhere])
            known.fresh[missing] = True
        return known.changes[_rows(sources)]

    def _room_for_changes(self, everywhere: bool) -> "Known | None":
        """Where changes are kept between questions; None if they would take too much."""
        like = self._out.input[:, COLUMNS[everywhere]]
        if self.graph.n_src * like.numel() * like.element_size() > self.memory // 4:
            return None
        return Known(like.new_empty(self.graph.n_src, *like.shape), np.zeros(self.graph.n_src, bool))

    def _compute_change(self, sources: list[int], columns: slice) -> Float[Tensor, "n batch pos d_model"]:
        batch, width, d_model = self._out.input[:, columns].shape
        change = self._out.input.new_empty(len(sources), batch, width, d_model)
        block = self.graph.n_heads + 1
        by_layer: dict[int, list[tuple[int, int]]] = {}
        for i, src in enumerate(sources):
            layer, h = divmod(src - 1, block)
            if src == 0:
                change[i] = self._ablated.input[:, columns] - self._out.input[:, columns]
            elif h == self.graph.n_heads:
                change[i] = self._ablated.mlp[layer][:, columns] - self._out.mlp[layer][:, columns]
            else:
                by_layer.setdefault(layer, []).append((i, h))
        for layer, pairs in by_layer.items():
            rows, heads = [i for i, _ in pairs], [h for _, h in pairs]
            z = self._ablated.z[layer][heads][:, :, columns] - self._out.z[layer][heads][:, :, columns]
            written = torch.bmm(z.reshape(len(heads), batch * width, -1), self.parts.blocks[layer].attention.W_O[heads])
            change[rows] = written.view(len(heads), batch, width, d_model)
        return change

    def _logits(self, final: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows n_tokens"]:
        """The logits that the metric reads (fact 7)."""
        return self.problem.model.unembed(final, self.problem.objective.tokens)

    def _losses_of(self, final: Float[Tensor, "copies batch d_model"]) -> Float64[Tensor, " copies"]:
        """Losses of stacked copies, a few copies' logits at a time."""
        tokens = self.problem.objective.tokens
        n_tokens = len(self.parts.unembed) if tokens is None else len(tokens)
        size = max(1, self.memory // 8 // (final.shape[1] * n_tokens * final.element_size()))
        return torch.cat(
            [self.problem.objective.loss(self._logits(part.flatten(0, 1))).cpu() for part in final.split(size)]
        )


class _Propagation:
    """One pass through what a change reaches.

    Changes of sources are held twice in the residual stream: at all positions for the sources that are read there
    (`wide`), and at the target for all (`narrow`).
    """

    def __init__(self, state: CircuitState, found: Reach, wanted: dict[int, Removal], copies: int, keep: bool) -> None:
        self.state, self.found, self.wanted, self.copies, self.keep = state, found, wanted, copies, keep
        self.batch, self.width, self.d_model = state._out.input.shape
        like = state._out.input
        self.wide = like.new_empty(found.n_everywhere, copies * self.batch, self.width, self.d_model)
        self.narrow = like.new_empty(found.n_changed, copies * self.batch, 1, self.d_model)
        self.wide_sources: list[int] = []
        self.narrow_sources: list[int] = []
        self.outputs: list[tuple[Tensor, Tensor]] = []  # to be kept: where, what; last, for removals read the old ones

    def final(self) -> Float[Tensor, "copies batch d_model"]:
        """Go through the layers; the last residual stream at the target."""
        for layer, touched in enumerate(self.found.layers):
            if touched.everywhere or touched.target:
                self._attention(layer, touched)
            if touched.mlp:
                self._mlp(layer)
        logits = self.state.graph.n_dst - 1
        x = self._read([logits], False, self.state._final)
        if self.keep:
            self.state._inputs[logits] = x[0, 0]
            for place, value in self.outputs:
                place.copy_(value)
            for known in self.state._known.values():
                if known is not None:
                    known.fresh[self.narrow_sources] = False
        return x[0, :, :, 0]

    def _read(self, dsts: list[int], everywhere: bool, base: Tensor) -> Float[Tensor, "n copies batch pos d_model"]:
        """The inputs of `dsts`: what they are now, the removed edges' changes, and the kept sources' changes."""
        state, columns = self.state, COLUMNS[everywhere]
        width = self.width if everywhere else 1
        changes, sources = (self.wide, self.wide_sources) if everywhere else (self.narrow, self.narrow_sources)
        shape = (len(dsts), self.copies, self.batch, width, self.d_model)
        kept = state.mask[np.ix_(sources, dsts)]
        if kept.any():
            weights = torch.from_numpy(kept.T.copy()).to(changes.device, changes.dtype)
            x = (weights @ changes[: len(sources)].flatten(1)).view(shape)
        else:
            x = changes.new_zeros(shape)
        for i, dst in enumerate(dsts):
            if dst in self.wanted:
                removal = self.wanted[dst]
                if removal.waiting:
                    x[i] += state._change_if_removed(removal.waiting, everywhere).sum(0)
                if removal.sources:
                    change = state._change_if_removed(removal.sources, everywhere)
                    x[i].view(self.copies, -1).addmm_(removal.chosen, change.flatten(1))
                    x[i] -= self._cut_off(dst, removal, changes, sources)
        if any(dst in state._inputs for dst in dsts):
            for i, dst in enumerate(dsts):
                x[i] += state._inputs.get(dst, base)[:, columns]
        else:
            x += base[:, columns]
        return x

    def _cut_off(
        self, dst: int, removal: Removal, changes: Tensor, sources: list[int]
    ) -> Float[Tensor, "copies batch pos d_model"] | int:
        """Changes of sources that reach `dst` by edges which a copy removes: it no longer reads them."""
        row = {src: i for i, src in enumerate(sources) if self.state.mask[src, dst]}
        both = [(i, row[src]) for i, src in enumerate(removal.sources) if src in row]
        if not both:
            return 0
        columns, rows = ([pair[k] for pair in both] for k in (0, 1))
        by_copy = changes[rows].unflatten(1, (self.copies, self.batch))
        return torch.einsum("cn,ncbpd->cbpd", removal.chosen[:, columns], by_copy)

    def _write(self, sources: list[int], change: Float[Tensor, "n rows pos d_model"], everywhere: bool) -> None:
        """Note the changes of sources for those who read them."""
        if everywhere:
            self.wide[len(self.wide_sources) : len(self.wide_sources) + len(sources)] = change
            self.wide_sources += sources
        self.narrow[len(self.narrow_sources) : len(self.narrow_sources) + len(sources)] = change[:, :, -1:]
        self.narrow_sources += sources

    def _mlp(self, layer: int) -> None:
        state, block = self.state, self.state.parts.blocks[layer]
        dst, src = state.graph.mlp_dst(layer), state.graph.mlp_src(layer)
        everywhere = bool(state._read.everywhere[dst])
        columns = COLUMNS[everywhere]
        x = self._read([dst], everywhere, state._before_mlp[layer])
        out = block.mlp(block.mlp_norm(x[0]))
        change = out - state._out.mlp[layer][:, columns]
        self._write([src], change.flatten(0, 1)[None], everywhere)
        if self.keep:
            state._inputs[dst] = x[0, 0]
            self.outputs.append((state._out.mlp[layer][:, columns], out[0]))

    def _attention(self, layer: int, touched: LayerReach) -> None:
        state, attention = self.state, self.state.parts.blocks[layer].attention
        new = {kind: self._project(layer, kind, touched.inputs[kind]) for kind in ("k", "v")}
        for heads, everywhere in ((touched.everywhere, True), (touched.target, False)):
            if not heads:
                continue
            columns = COLUMNS[everywhere]
            moved = [h for h in touched.inputs["q"] if h in heads]
            q = self._merge(layer, "q", heads, moved, self._project(layer, "q", moved, everywhere), columns)
            k, v = (self._with_prefix(layer, kind, heads, touched.inputs[kind], new[kind]) for kind in ("k", "v"))
            bias = state._layout.bias(attention.window)[:, state._first :][:, columns]
            z = attend(q, k, v, bias, attention.scale)
            before = state._out.z[layer][_rows(heads)][:, :, columns]
            change = (z - before[:, None]).view(len(heads), self.copies * self.batch * z.shape[3], -1)
            written = torch.bmm(change, attention.W_O[_rows(heads)])
            sources = [state.graph.head_src(layer, h) for h in heads]
            self._write(sources, written.view(len(heads), self.copies * self.batch, -1, self.d_model), everywhere)
            if self.keep:
                self.outputs += [(state._out.z[layer][h][:, columns], z[i, 0]) for i, h in enumerate(heads)]

    def _project(self, layer: int, kind: str, heads: list[int], everywhere: bool = True) -> Tensor | None:
        """New q, k or v, `[n copies batch pos d_head]`, of the heads whose input changes; None without such heads."""
        if not heads:
            return None
        state, block = self.state, self.state.parts.blocks[layer]
        dsts = [state.graph.head_dst(layer, kind, h) for h in heads]
        x = self._read(dsts, everywhere, state._before_attention[layer])
        weight, bias = head_rows(block.attention, kind)
        rows = _rows([h * weight.shape[0] // state.graph.n_heads for h in heads])
        out = project(block.attention_norm(x).flatten(1, 3), weight[rows], None if bias is None else bias[rows]).view(
            *x.shape[:4], -1
        )
        if state._tables is not None and kind != "v":
            cos, sin = (table[:, COLUMNS[everywhere]] for table in state._tables)
            out = rotate(out, cos, sin)
        if self.keep:
            for i, (h, dst) in enumerate(zip(heads, dsts, strict=True)):
                state._inputs[dst] = x[i, 0]
                state._projected[kind][layer][h][:, COLUMNS[everywhere]] = out[i, 0]
        return out

    def _merge(
        self, layer: int, kind: str, heads: list[int], moved: list[int], new: Tensor | None, columns: slice
    ) -> Float[Tensor, "n #copies batch pos d_head"]:
        """q, k or v of `heads`: the new ones of those that `moved`, else as they were."""
        if new is not None and moved == heads:
            return new
        now = self.state._projected[kind][layer][_rows(heads)][:, None, :, columns]
        here = [i for i, h in enumerate(moved) if h in heads]
        if new is None or not here:
            return now
        if len(here) == len(heads):
            return new[here]
        merged = now.expand(-1, self.copies, -1, -1, -1).clone()
        merged[[heads.index(moved[i]) for i in here]] = new[here]
        return merged

    def _with_prefix(
        self, layer: int, kind: str, heads: list[int], moved: list[int], new: Tensor | None
    ) -> Float[Tensor, "n #copies batch key d_head"]:
        """k or v at all columns: those before the window are constants."""
        now = self._merge(layer, kind, heads, moved, new, COLUMNS[True])
        if self.state._first == 0:
            return now
        prefix = self.state._prefix[kind][layer][_rows(heads)][:, None]
        return torch.cat([prefix.expand(-1, now.shape[1], -1, -1, -1), now], 3)


def _rows(indices: list[int]) -> slice | list[int]:
    """An index for these rows: a slice, and so a view, where they follow each other."""
    if indices == list(range(indices[0], indices[0] + len(indices))):
        return slice(indices[0], indices[0] + len(indices))
    return indices


def costs(problem: Problem, graph: Graph, read: Reading, like: Tensor) -> list[Cost]:
    """For a change in each layer, and last in the logits: upper bounds, as if it reached all that is useful."""
    batch, width, d_model = like.shape
    d_head = problem.clean.q[0].shape[-1]
    tokens = problem.objective.tokens
    n_tokens = len(problem.model.parts.unembed) if tokens is None else len(tokens)
    rows, flops = 4, 2 * batch * d_model * n_tokens
    found = [Cost(rows * batch * d_model * like.element_size(), flops)]
    for layer in reversed(range(graph.n_layers)):
        q, mlp = graph.head_dst(layer, "q"), graph.mlp_dst(layer)
        n_useful = int(read.useful[q : q + graph.n_heads].sum())
        n_wide = int(read.everywhere[q : q + graph.n_heads].sum())
        positions = width if read.everywhere[mlp] else int(read.useful[mlp])
        rows += n_wide * width + n_useful + positions
        flops += 4 * batch * d_model * d_head * (n_useful * width + n_wide * width + n_useful - n_wide)
        flops += 16 * batch * d_model * d_model * positions
        held = rows + 4 * n_useful * width + 12 * positions
        found.append(Cost(held * batch * d_model * like.element_size(), flops))
    return found[::-1]


def _cut(outputs: Outputs, first: int, *, own: bool) -> Outputs:
    """Outputs from column `first` on, copied if they are to be changed."""

    def cut(x: Tensor) -> Tensor:
        return x[..., first:, :].clone() if own else x[..., first:, :]

    return Outputs(cut(outputs.input), tuple(map(cut, outputs.z)), tuple(map(cut, outputs.mlp)))
