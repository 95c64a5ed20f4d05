"""One forward pass of a circuit, layer by layer: read the heads' inputs, attend, read the MLP's, write the changes."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.patching.background import Background
from acdc.patching.exact.reachability import LayerReach, Reach
from acdc.patching.heads import LAST, Heads
from acdc.patching.source_changes import Changes, Scratch

__all__ = ["MaskedPass", "computed"]

BLOCK = 2 * 2**20  # bytes of inputs that are read, normed and projected while they lie in the processor's cache


def computed(background: Background, reach: Reach) -> tuple[list[int], list[int]]:
    """The sources that a pass computes, in its order: those at all rows, and all, at the last positions."""
    graph, at_all, last = background.model.graph, [0], [0]
    for layer, each in enumerate(reach.layers):
        heads = [[graph.head_src(layer, h) for h in some] for some in (each.all_positions, each.last_position)]
        mlp = [graph.mlp_src(layer)]
        at_all += heads[0] + mlp * each.mlp_all_positions
        last += heads[0] + heads[1] + mlp * each.mlp
    return at_all, last


class MaskedPass:
    """A forward pass of some prompts.

    Args:
        reach: The nodes to compute.
        weights: The share of each source that each destination reads: a mask's 0 and 1.
    """

    def __init__(
        self, background: Background, reach: Reach, weights: Float[Tensor, "*batch src dst"], scratch: Scratch
    ) -> None:
        self.background, self.reach, self.model = background, reach, background.model
        change, last = background.input_change, background.last
        self.sources = computed(background, reach)
        self.changes = tuple(
            Changes(scratch.take(name, (1 + len(some), *rows.shape), rows), weights[..., some, :], spans)
            for name, some, rows, spans in (
                ("changes", self.sources[0], change, background.spans),
                ("last", self.sources[1], change[last], [(i, i + 1) for i in range(len(last))]),
            )
        )
        self.write(change[None])

    def write(self, change: Float[Tensor, "n rows d_model"], at_all: bool = True) -> None:
        """Take in what the next sources change, at all rows or at the last positions."""
        if at_all:
            self.changes[0].append(len(change))[:] = change.detach()
            change = change[:, self.background.last]
        self.changes[1].append(len(change))[:] = change.detach()

    def write_heads(self, changes: tuple[Tensor | None, Tensor | None]) -> None:
        """Take in what a layer's heads change, at all rows and at the last positions."""
        for change, at_all in zip(changes, (True, False), strict=True):
            if change is not None:
                self.write(change, at_all)

    def set_stream(self, layer: int) -> None:
        """Go on to this layer: what its heads read with no edge kept."""
        x = self.background.streams[layer]
        self.changes[0].set_stream(x)
        self.changes[1].set_stream(x[self.background.last])

    def logits(self) -> Float[Tensor, "batch vocab"]:
        """Logits at the last positions."""
        for layer, reach in enumerate(self.reach.layers):
            self.set_stream(layer)
            self._layer(layer, reach)
        self.set_stream(len(self.reach.layers))
        return self.model.unembed(self.final()[0])

    def final(self) -> Float[Tensor, "1 batch d_model"]:
        """What the logits read."""
        return self.changes[1].reader([self.model.graph.n_dst - 1]).read()

    def _layer(self, layer: int, reach: LayerReach) -> None:
        heads, before = Heads(self.background, layer, reach), self.changes[0].filled
        projected, x = self._read(heads, layer, reach)
        self.write_heads(heads.changes(projected))
        if reach.mlp:
            x = self.mlp_input(layer, reach, x, before)
            self.write(self.mlp_change(layer, x, reach.mlp_all_positions), reach.mlp_all_positions)

    def _read(self, heads: Heads, layer: int, reach: LayerReach) -> tuple[dict[str, Tensor], Tensor | None]:
        """The heads' projections, and of the MLP's input at all rows what comes from the layers below."""
        dsts = heads.dsts(*QKV) + [self.model.graph.mlp_dst(layer)] * reach.mlp_all_positions
        reader, n = self.changes[0].reader(dsts), len(heads.dsts(*QKV))
        pieces, mlp = list[dict[str, Tensor]](), list[Tensor]()
        for first, stop in self._blocks(len(dsts)):
            x = reader.read(first, stop)
            pieces.append(heads.project(x[:n], *QKV))
            mlp.append(x[n:])
        projected = {kind: torch.cat([piece[kind] for piece in pieces], 1) for kind in QKV} if pieces else {}
        projected |= heads.project(self.changes[1].reader(heads.dsts(LAST)).read(), LAST)
        return projected, torch.cat(mlp, 1) if reach.mlp_all_positions else None

    def _blocks(self, n: int) -> Iterator[tuple[int, int]]:
        """Rows whose inputs of n destinations fit into the cache."""
        n_rows, d_model = self.background.input_change.shape
        if self.changes[0].weights.ndim > 2:
            yield 0, n_rows
            return
        size = max(8, BLOCK // (max(1, n) * d_model * self.model.dtype.itemsize))
        for first in range(0, n_rows, size):
            yield first, min(first + size, n_rows)

    def mlp_input(
        self, layer: int, reach: LayerReach, x: Tensor | None, before: int
    ) -> Float[Tensor, "1 rows d_model"]:
        """What the MLP reads: at all rows, or at the last positions.

        Args:
            x: What it reads of the layers below, if it is at all rows.
            before: How many slots these fill.
        """
        background, dst = self.background, [self.model.graph.mlp_dst(layer)]
        added = background.attention_adds[layer]
        if x is None:
            x = self.changes[1].reader(dst).read()
            return x if background.model.graph.parallel else x + added[background.last]
        if background.model.graph.parallel:
            return x
        x = x + added
        return x + self.changes[0].reader(dst, before).read() if self.changes[0].filled > before else x

    def mlp_change(
        self, layer: int, x: Float[Tensor, "1 rows d_model"], at_all: bool
    ) -> Float[Tensor, "1 rows d_model"]:
        """What the MLP changes at all rows, or at the last positions."""
        block, ablated = self.model.components.blocks[layer], self.background.mlp[layer]
        return block.mlp(block.ln2(x)) - (ablated if at_all else ablated[self.background.last])
