"""A circuit's forward pass with a weight for each edge, and its backward pass: what learned masks descend.

    x_d = Σ_{all s} ablated_s + constants + Σ_s w[s, d] (out_s - ablated_s)
    ∂loss/∂w[s, d] = (out_s - ablated_s) · ∂loss/∂x_d
    ∂loss/∂out_s = Σ_d w[s, d] ∂loss/∂x_d

The graph of a layer hangs on nothing but its inputs, so autograd sees one layer at a time, and between layers the two
equations are matrix products like the forward one. The model's own weights get no gradient.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.errors import CircuitError
from acdc.patching.exact.reachability import LayerReach, Reach
from acdc.patching.footprint import weighted_bytes
from acdc.patching.frozen import frozen
from acdc.patching.heads import Heads
from acdc.patching.masked import MaskedForward, needed
from acdc.patching.masked_pass import MaskedPass
from acdc.patching.source_changes import Changes, Scratch

__all__ = ["prompts_that_fit", "weighted_logits"]


def weighted_logits(
    masked: MaskedForward,
    weights: Float[Tensor, "*n src dst"],
    *,
    rows: Int[Tensor, " n"] | None = None,
    live: Bool[Tensor, " src"] | None = None,
    memory: int | None = None,
) -> Float[Tensor, "n vocab"]:
    """Logits where each edge carries a share of its source's output, differentiable in the shares.

    Args:
        weights: The shares, the same for all prompts or each prompt's own; usually within 0 and 1, which are an edge
            that is removed and one that is kept. Pairs that are no edges count as 0.
        rows: Prompts to take; all if None.
        live: Sources to compute; all if None. The others count as ablated, and their weights get no gradient.
        memory: About how many bytes what is kept for the backward pass may take; as many as a masked pass if None.
            If it is too little for the layers' graphs, each is made once more in the backward pass, and prompts are
            taken in groups that fit.

    Raises:
        CircuitError: The weights have another shape.
    """
    model, graph = masked.model, masked.graph
    rows = torch.arange(masked.batch.n) if rows is None else rows
    if tuple(weights.shape[-2:]) != (graph.n_src, graph.n_dst) or weights.shape[:-2] not in ((), (len(rows),)):
        raise CircuitError(
            f"weights of {len(rows)} prompts for {graph.shape} must be [{graph.n_src}, {graph.n_dst}], for all or for "
            f"each, not {list(weights.shape)}"
        )
    computed = graph.edges_mask if live is None else graph.edges_mask & live[:, None]
    nodes = needed(model, graph, computed.numpy(), from_input=False)
    weights = (weights * computed.to(weights.device)).to(model.device, model.dtype)
    fits = prompts_that_fit(masked, memory or masked.memory)
    groups = rows.to(model.device).split(min(fits, masked.block_size(len(rows))))
    return _Weighted.apply(weights, masked, groups, nodes, len(rows) <= fits)


def prompts_that_fit(masked: MaskedForward, memory: int) -> int:
    """How many prompts' graphs and gradients about `memory` bytes can hold, at least one."""
    model = masked.model
    return max(
        1, memory // weighted_bytes(model.graph, masked.rows_per_prompt, masked.batch.n_pos, model.dtype.itemsize)
    )


class _Weighted(torch.autograd.Function):
    """The logits of groups of prompts, which the processes share; each goes back through the groups that it ran.

    Without `keep` the forward pass is made again, with its graphs, for the backward.
    """

    @staticmethod
    def forward(
        ctx: Any, weights: Tensor, masked: MaskedForward, groups: Sequence[Tensor], nodes: Reach, keep: bool
    ) -> Tensor:
        ctx.passes = _Passes(weights.detach(), masked, groups, nodes, keep)
        return ctx.passes.logits()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        return ctx.passes.backward(gradient), None, None, None, None


class _Passes:
    """The passes of all groups; those that this process ran with `keep` are held until they are gone back through."""

    def __init__(
        self, weights: Tensor, masked: MaskedForward, groups: Sequence[Tensor], nodes: Reach, keep: bool
    ) -> None:
        self.weights, self.masked, self.groups, self.nodes, self.keep = weights, masked, groups, nodes, keep
        self.held: dict[int, _WeightedPass] = {}
        self.sizes = [len(group) for group in groups]
        self.shares = [weights] * len(groups) if weights.ndim == 2 else weights.split(self.sizes)

    def logits(self) -> Float[Tensor, "n vocab"]:
        """The logits of all groups, one after another."""

        def of_group(i: int) -> Float[Tensor, "n vocab"]:
            if self.keep:
                self.held[i] = self._begun(i)
                return self.held[i].logits()
            background = self.masked.background.select(self.groups[i])
            return MaskedPass(background, self.nodes, self.shares[i], self.masked.scratch).logits()

        return torch.cat(list(self._spread(of_group))).to(self.weights.device)

    def backward(self, gradient: Float[Tensor, "n vocab"]) -> Float[Tensor, "*n src dst"]:
        """The gradient in the weights, from that in the logits."""
        parts = gradient.split(self.sizes)

        def of_group(i: int) -> Float[Tensor, "*n src dst"]:
            if i not in self.held:
                self.held[i] = self._begun(i)
                self.held[i].logits()
            return self.held.pop(i).backward(parts[i])

        found = list(self._spread(of_group))
        return (torch.cat(found) if self.weights.ndim == 3 else torch.stack(found).sum(0)).to(self.weights.device)

    def _begun(self, i: int) -> "_WeightedPass":
        return _WeightedPass(self.masked.background.select(self.groups[i]), self.nodes, self.shares[i], Scratch())

    def _spread(self, work: Callable[[int], Tensor]) -> Iterator[Tensor]:
        return self.masked.ranks.spread(range(len(self.groups)), work)


class _Layer(NamedTuple):
    """A layer's graph: its inputs, which are leaves, and what comes of them, all by groups of rows.

    Attributes:
        starts: How many slots the layers below fill.
        inputs: Of the heads.
        changes: Of the heads that are read there; None of none.
        mlp: The MLP's inputs and its changes, at its own groups.
    """

    heads: Heads
    reach: LayerReach
    starts: list[int]
    inputs: list[Tensor]
    changes: list[Tensor | None]
    mlp: tuple[list[Tensor], list[Tensor]]


class _WeightedPass(MaskedPass):
    """A forward pass that remembers, layer by layer, what its backward pass needs.

    A graph holds the weights that it is made with; so where blocks are read one at a time, only their inputs are kept,
    and the backward pass makes each block's graph anew.
    """

    def logits(self) -> Float[Tensor, "batch vocab"]:
        """Logits at the last positions."""
        self.layers, self.keeps_graphs = list[_Layer](), not self.model.offloaded
        with frozen(self.model):
            return super().logits()

    def _layer(self, layer: int, reach: LayerReach) -> None:
        heads, starts = Heads(self.background, layer, reach), [changes.filled for changes in self.changes]
        inputs, below = list[Tensor](), list[Tensor | None]()
        for group, changes in enumerate(self.changes):
            x, n = changes.reader(self.dsts(heads, reach, group)).read(), len(heads.dsts(group))
            inputs.append(_leaf(x[:n]))
            below.append(x[n:] if len(x) > n else None)
        with torch.set_grad_enabled(self.keeps_graphs):
            made = _changes(heads, inputs)
        self.write_heads(made)
        read = [_leaf(self.mlp_input(layer, group, below[group], starts[group])) for group in reach.mlp]
        with torch.set_grad_enabled(self.keeps_graphs):
            out = self.mlp_changes(layer, reach.mlp, read) if read else []
        self.write_mlp(reach.mlp, out)
        if not self.keeps_graphs:
            heads.let_go()
        self.layers.append(_Layer(heads, reach, starts, inputs, made, (read, out)))

    def _with_graph(self, layer: _Layer) -> _Layer:
        """The same layer, computed again."""
        heads, (read, out) = Heads(self.background, layer.heads.layer, layer.reach), layer.mlp
        with torch.enable_grad():
            changes = _changes(heads, layer.inputs)
            out = self.mlp_changes(heads.layer, layer.reach.mlp, read) if read else out
        return layer._replace(heads=heads, changes=changes, mlp=(read, out))

    def backward(self, gradient: Float[Tensor, "batch vocab"]) -> Float[Tensor, "*batch src dst"]:
        """The gradient in the weights, from that in the logits."""
        self.gradients = tuple(_Gradients(changes) for changes in self.changes)
        with torch.enable_grad():
            final = _leaf(self.final())
            (g,) = torch.autograd.grad(self.model.unembed(final[0]), final, gradient)
        self.gradients[-1].read([self.model.graph.n_dst - 1], g, 1, self.changes[-1].filled)
        with frozen(self.model):
            while self.layers:
                layer = self.layers.pop()
                self._pull(layer if self.keeps_graphs else self._with_graph(layer))
        n_src, n_dst = self.model.graph.edges_mask.shape
        found = g.new_zeros(*self.changes[0].weights.shape[:-2], n_src, n_dst * self.rows.last)
        for group, (sources, gradients) in enumerate(zip(self.sources, self.gradients, strict=True)):
            found[..., sources, self.columns(group)] += gradients.weights[..., 1:, :]
        return found

    def _pull(self, layer: _Layer) -> None:
        """From the gradients of a layer's changes to those of all that it reads."""
        of_mlp = self._pull_mlp(layer)
        outs = [(out, g) for out, g in zip(layer.changes, self._of_heads(layer), strict=True) if out is not None]
        of_heads = [torch.zeros_like(x) for x in layer.inputs]
        if outs:
            changes, gradients = zip(*outs, strict=True)
            of_heads = list(
                torch.autograd.grad(changes, layer.inputs, gradients, allow_unused=True, materialize_grads=True)
            )
        for group, g in enumerate(of_heads):  # of all destinations that read the layers below, in one product
            dsts, dst = layer.heads.dsts(group), self.model.graph.mlp_dst(layer.heads.layer)
            if group in of_mlp:
                g, dsts = torch.cat([g, of_mlp[group]]), [*dsts, dst]
            if dsts:
                self.gradients[group].read(dsts, g, 1, layer.starts[group])

    def _pull_mlp(self, layer: _Layer) -> dict[int, Tensor]:
        """The gradient of the MLP's input at each group where it is read at a span's rows.

        What it reads of this layer's heads is taken in, and all that it reads at the last positions.
        """
        reads, changes = layer.mlp
        if not reads:
            return {}
        groups, dst = layer.reach.mlp, [self.model.graph.mlp_dst(layer.heads.layer)]
        slots = [layer.starts[group] + self._n_heads(layer, group) for group in self.rows.groups]
        found = torch.autograd.grad(changes, reads, [self._at(slots, group, 1) for group in groups])
        kept = dict[int, Tensor]()
        for group, g in zip(groups, found, strict=True):
            at_span = group < self.rows.last
            self.gradients[group].read(dst, g, layer.starts[group] if at_span else 1, slots[group])
            if at_span:
                kept[group] = g
        return kept

    def _n_heads(self, layer: _Layer, group: int) -> int:
        """How many of a layer's heads were written at a group of rows."""
        n = len(layer.reach.heads[group])
        return n + len(layer.reach.heads[-2]) if group == self.rows.last else n

    def _of_heads(self, layer: _Layer) -> list[Float[Tensor, "_n _rows d_model"]]:
        """The gradients of the heads' changes."""
        found = []
        for group, heads in enumerate(layer.reach.heads):
            slots = list(layer.starts)
            if group == self.rows.last:
                slots[-1] += len(layer.reach.heads[-2])
            found.append(self._at(slots, group, len(heads)))
        return found

    def _at(self, slots: list[int], group: int, n: int) -> Float[Tensor, "n rows d_model"]:
        """The gradients of sources that follow each other, those read there again at the last positions included."""
        slot, last = slots[group], slots[-1]
        found = self.gradients[group].buffer[slot : slot + n]
        if group == self.rows.last - 1:
            self.rows.add_last(found, self.gradients[-1].buffer[last : last + n])
        return found


class _Gradients:
    """The gradients in the changes and in the weights that they are read with."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.buffer, self.weights = torch.zeros_like(changes.buffer), torch.zeros_like(changes.weights)

    def read(self, dsts: list[int], g: Float[Tensor, "n rows d_model"], start: int, stop: int) -> None:
        """Take in the gradients of destinations that read the slots from `start` to `stop`."""
        each, changes = slice(start, stop), self.changes
        weights = changes.weights[..., each, dsts]
        stretches = [(0, g.shape[1])] if weights.ndim == 2 else changes.stretches
        found = []
        for w, (a, b) in zip(weights[None] if weights.ndim == 2 else weights, stretches, strict=True):
            of_prompt = g[:, a:b].flatten(1)
            found.append(changes.buffer[each, a:b].flatten(1) @ of_prompt.T)
            self.buffer[each, a:b].flatten(1).addmm_(w, of_prompt)
        self.weights[..., each, dsts] += found[0] if weights.ndim == 2 else torch.stack(found)


def _changes(heads: Heads, inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """What a layer's heads change, from their inputs, by groups of rows."""
    return heads.changes([heads.project(x, group) if len(x) else {} for group, x in enumerate(inputs)])


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()
