"""One forward pass of a circuit, layer by layer: read the heads' inputs, attend, read the MLP's, write the changes."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.patching.background import Background
from acdc.patching.exact.reachability import LayerReach, Reach
from acdc.patching.heads import Heads
from acdc.patching.source_changes import Changes, Scratch

__all__ = ["MaskedPass", "computed"]

BLOCK = 2 * 2**20  # bytes of inputs that are read, normed and projected while they lie in the processor's cache


def computed(background: Background, layers: Sequence[LayerReach]) -> list[list[int]]:
    """For each group of rows the sources that a pass computes, in its order."""
    graph, rows = background.model.graph, background.rows
    found = [[0] for _ in rows.groups]

    def add(sources: list[int], group: int) -> None:
        found[group] += sources
        if group == rows.last - 1:
            found[-1] += sources

    for layer, each in enumerate(layers):
        for group in rows.groups:
            add([graph.head_src(layer, h) for h in each.in_order(group)], group)
        for group in each.mlp:
            add([graph.mlp_src(layer)], group)
    return found


class MaskedPass:
    """A forward pass of some prompts, by groups of rows.

    Args:
        reach: The nodes to compute.
        weights: The share of each source that each destination reads: a mask's 0 and 1.
    """

    def __init__(
        self, background: Background, reach: Reach, weights: Float[Tensor, "*batch src dst"], scratch: Scratch
    ) -> None:
        self.background, self.model, self.rows = background, background.model, background.rows
        sizes = self.rows.sizes
        self.reaches = reach.layers if all(sizes) else tuple(layer.within(sizes) for layer in reach.layers)
        self.sources, change = computed(background, self.reaches), background.input_change
        self.changes = tuple(
            Changes(
                scratch.take(f"changes {group}", (1 + len(some), sizes[group], change.shape[-1]), change),
                weights[..., some, self.columns(group)],
                self.rows.stretches[group],
            )
            for group, some in enumerate(self.sources)
        )
        for group in range(self.rows.last):
            self.write(self.rows.read(change, group)[None], group)

    def columns(self, group: int) -> slice:
        """The columns of weights that are read at a group: those of its span."""
        return slice(min(group, self.rows.last - 1), None, self.rows.last)

    def write(self, change: Float[Tensor, "n rows d_model"], group: int) -> None:
        """Take in what the next sources change at a group of rows."""
        self.changes[group].append(len(change))[:] = change.detach()
        if group == self.rows.last - 1:
            self.write(self.rows.read(change, self.rows.last), self.rows.last)

    def write_heads(self, changes: Sequence[Tensor | None]) -> None:
        """Take in what a layer's heads change at each group."""
        for group, change in enumerate(changes):
            if change is not None:
                self.write(change, group)

    def set_stream(self, layer: int) -> None:
        """Go on to this layer: what its heads read with no edge kept."""
        for group, changes in enumerate(self.changes):
            changes.set_stream(self.rows.read(self.background.streams[layer], group))

    def logits(self) -> Float[Tensor, "batch vocab"]:
        """Logits at the last positions."""
        for layer, reach in enumerate(self.reaches):
            self.set_stream(layer)
            self._layer(layer, reach)
        self.set_stream(len(self.reaches))
        return self.model.unembed(self.final()[0])

    def final(self) -> Float[Tensor, "1 batch d_model"]:
        """What the logits read."""
        return self.changes[-1].reader([self.model.graph.n_dst - 1]).read()

    def _layer(self, layer: int, reach: LayerReach) -> None:
        heads, before = Heads(self.background, layer, reach), [changes.filled for changes in self.changes]
        projected, below = zip(*(self._read(heads, reach, group) for group in self.rows.groups), strict=True)
        self.write_heads(heads.changes(projected))
        if reach.mlp:
            inputs = [self.mlp_input(layer, group, below[group], before[group]) for group in reach.mlp]
            self.write_mlp(reach.mlp, self.mlp_changes(layer, reach.mlp, inputs))

    def write_mlp(self, groups: Sequence[int], changes: Sequence[Tensor]) -> None:
        """Take in what an MLP changes at some groups."""
        for group, change in zip(groups, changes, strict=True):
            self.write(change, group)

    def _read(self, heads: Heads, reach: LayerReach, group: int) -> tuple[dict[str, Tensor], Tensor | None]:
        """The heads' projections at a group of rows, and of the MLP's input there what comes from the layers below."""
        dsts, n = self.dsts(heads, reach, group), len(heads.dsts(group))
        if not dsts:
            return {}, None
        reader = self.changes[group].reader(dsts)
        pieces, mlp = list[dict[str, Tensor]](), list[Tensor]()
        for first, stop in self._blocks(len(dsts), group):
            x = reader.read(first, stop)
            pieces.append(heads.project(x[:n], group) if n else {})
            mlp.append(x[n:])
        projected = {kind: torch.cat([piece[kind] for piece in pieces], 1) for kind in pieces[0]}
        return projected, torch.cat(mlp, 1) if len(dsts) > n else None

    def dsts(self, heads: Heads, reach: LayerReach, group: int) -> list[int]:
        """What reads the layers below at a group of rows: heads, and the MLP where it reads a span's."""
        with_mlp = group in reach.mlp and group < self.rows.last
        return heads.dsts(group) + [self.model.graph.mlp_dst(heads.layer)] * with_mlp

    def _blocks(self, n: int, group: int) -> Iterator[tuple[int, int]]:
        """Rows whose inputs of n destinations fit into the cache."""
        n_rows, d_model = self.rows.sizes[group], self.background.input_change.shape[-1]
        if self.changes[0].weights.ndim > 2 or group == self.rows.last:
            yield 0, n_rows
            return
        size = max(8, BLOCK // (max(1, n) * d_model * self.model.dtype.itemsize))
        for first in range(0, n_rows, size):
            yield first, min(first + size, n_rows)

    def mlp_input(self, layer: int, group: int, x: Tensor | None, before: int) -> Float[Tensor, "1 rows d_model"]:
        """What the MLP reads at a group of rows.

        Args:
            x: What it reads of the layers below, if that is known.
            before: How many slots these fill.
        """
        changes, dst = self.changes[group], [self.model.graph.mlp_dst(layer)]
        added = self.rows.read(self.background.attention_adds[layer], group)
        if x is None:
            x = changes.reader(dst).read()
            return x if self.model.graph.parallel else x + added
        if self.model.graph.parallel:
            return x
        x = x + added
        return x + changes.reader(dst, before).read() if changes.filled > before else x

    def mlp_changes(
        self, layer: int, groups: Sequence[int], inputs: Sequence[Float[Tensor, "1 _rows d_model"]]
    ) -> list[Float[Tensor, "1 _rows d_model"]]:
        """What the MLP changes at some groups of rows, computed at once."""
        block, ablated = self.model.components.blocks[layer], self.background.mlp[layer]
        x = inputs[0] if len(inputs) == 1 else torch.cat(list(inputs), 1)
        outs = block.mlp(block.ln2(x)).split([self.rows.sizes[group] for group in groups], 1)
        return [out - self.rows.read(ablated, group) for group, out in zip(groups, outs, strict=True)]
