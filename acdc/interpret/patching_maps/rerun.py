"""What patched cells do further on: the model from where they enter, for many cells at once.

A cell changes the residual stream somewhere. All before that is as it was: earlier layers, and earlier positions, since
attention looks back. So a pass starts at the cell's layer, computes only the columns from its first position on, and
reads the keys and values before from the run that is patched. Cells are stacked as copies of the batch, and join the
stack where they enter: the weights of a layer are read once for all.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.interpret.patching_maps.sides import Base
from acdc.models.components import Block
from acdc.patching.attention import attend_layer, layer_out, project_layer

__all__ = ["Entry", "Held", "Rerun"]


@dataclass(frozen=True)
class Held:
    """What a layer's attention or MLP adds is replaced.

    Attributes:
        where: At these positions.
        value: By this.
    """

    where: Bool[Tensor, "batch width"]
    value: Float[Tensor, "batch width d_model"]


@dataclass(frozen=True)
class Entry:
    """A cell: how the stream differs from the patched run's where it enters, and what is patched further on.

    Attributes:
        key: Whose cell it is, for the caller.
        layer: It enters before this block; the number of blocks means behind the last.
        after_attention: It enters between the block's attention and its MLP.
        change: The difference, at the columns of the pass.
        held: By layer and `attn_out` or `mlp_out`, what is replaced at later layers too.
        reads: By the name of a destination, what it alone reads beside the stream.
        frozen: What these destinations read else is the patched run's stream, not the copy's own.
    """

    key: Any
    layer: int
    after_attention: bool
    change: Float[Tensor, "batch width d_model"]
    held: Mapping[tuple[int, str], Held] = field(default_factory=dict)
    reads: Mapping[str, Float[Tensor, "batch width d_model"]] = field(default_factory=dict)
    frozen: bool = False


class Rerun:
    """Passes over the columns of a batch from `start` on.

    Args:
        base: The run that is patched.
        start: The first column that a cell changes.
        memory: About how many bytes a pass may take.
    """

    def __init__(self, base: Base, start: int, memory: int) -> None:
        self.base, self.start = base, start
        self.at_once = max(1, memory // self._bytes())

    def _bytes(self) -> int:
        """About what a cell takes: streams, the insides of an MLP, q, k, v and z, and the scores."""
        graph, batch, run = self.base.model.graph, self.base.batch, self.base.run
        n_rows, d_heads = batch.n * (batch.n_pos - self.start), run.q[0].shape[0] * run.q[0].shape[-1]
        keys = 4 * batch.n * batch.n_pos * d_heads
        scores = 3 * n_rows * graph.n_heads * batch.n_pos
        return (n_rows * (18 * graph.d_model + 3 * d_heads) + keys + scores) * max(4, run.final.element_size())

    def finals(self, entries: Iterable[Entry]) -> Iterator[tuple[list[Entry], Float[Tensor, "n batch d_model"]]]:
        """For as many cells at a time as fit, what the unembedding reads at the last position.

        Args:
            entries: Made as they are taken; a pass starts at the first layer of those that it takes, so they had better
                come by layer.
        """
        taken = iter(entries)
        while part := list(islice(taken, self.at_once)):
            yield self._pass(part)

    @torch.no_grad()
    def _pass(self, entries: list[Entry]) -> tuple[list[Entry], Float[Tensor, "n batch d_model"]]:
        base, live = self.base, list[Entry]()
        x = self._of(base.run.final)[None][:0]
        for layer in range(min(entry.layer for entry in entries), base.n_layers):
            block, run = base.model.components.blocks[layer], base.run
            x = self._join(x, live, entries, layer, False, run.resid_pre[layer])
            before = x
            if live:
                x = x + self._held(self._attention(layer, block, x, live), live, layer, "attn_out")
            x = self._join(x, live, entries, layer, True, run.resid_mid[layer])
            if live:
                read = before if base.parallel else x
                x = x + self._held(self._mlp(layer, block, read, live), live, layer, "mlp_out")
        x = self._join(x, live, entries, base.n_layers, False, base.run.final)
        return live, self._read("logits", x, live, base.run.final)[:, :, -1]

    def _of(self, x: Float[Tensor, "*n pos d"]) -> Float[Tensor, "*n width d"]:
        return x[..., self.start :, :]

    def _join(
        self, x: Tensor, live: list[Entry], entries: list[Entry], layer: int, after_attention: bool, stream: Tensor
    ) -> Float[Tensor, "n batch width d_model"]:
        """The stack with the cells that enter here."""
        new = [entry for entry in entries if (entry.layer, entry.after_attention) == (layer, after_attention)]
        live += new
        return torch.cat([x, *(self._of(stream)[None] + entry.change for entry in new)]) if new else x

    @staticmethod
    def _held(out: Float[Tensor, "n batch width d_model"], live: list[Entry], layer: int, site: str) -> Tensor:
        """What a layer adds, replaced where a cell says so."""
        for i, entry in enumerate(live):
            if (layer, site) in entry.held:
                held = entry.held[layer, site]
                out[i] = torch.where(held.where[..., None], held.value, out[i])
        return out

    def _read(
        self, name: str, x: Float[Tensor, "n batch width d_model"], live: list[Entry], stream: Tensor
    ) -> Float[Tensor, "n batch width d_model"]:
        """What a destination reads in each copy."""
        mine = {i: entry for i, entry in enumerate(live) if name in entry.reads}
        if mine:
            x = x.clone()
        for i, entry in mine.items():
            x[i] = (self._of(stream) if entry.frozen else x[i]) + entry.reads[name]
        return x

    def _mlp(self, layer: int, block: Block, x: Tensor, live: list[Entry]) -> Float[Tensor, "n batch width d_model"]:
        return block.mlp(block.ln2(self._read(f"m{layer}", x, live, self.base.run.resid_mid[layer])))

    # -- attention

    def _attention(
        self, layer: int, block: Block, x: Float[Tensor, "n batch width d_model"], live: list[Entry]
    ) -> Float[Tensor, "n batch width d_model"]:
        """What a layer's attention adds to each copy."""
        inputs = {kind: self._project(layer, block, kind, x) for kind in QKV}
        z = self._attend(layer, block, inputs)
        for h in range(block.attention.n_heads):
            names = {kind: f"a{layer}.h{h}<{kind}>" for kind in QKV}
            if any(name in entry.reads for name in names.values() for entry in live):
                z[h] = self._attend(layer, block, inputs | self._own(layer, block, names, x, live))[h]
        return layer_out(block, z)

    def _own(self, layer: int, block: Block, names: dict[str, str], x: Tensor, live: list[Entry]) -> dict[str, Tensor]:
        """The projections of a head's own inputs, where these differ from the stream."""
        return {
            kind: self._project(layer, block, kind, self._read(name, x, live, self.base.run.resid_pre[layer]))
            for kind, name in names.items()
            if any(name in entry.reads for entry in live)
        }

    def _project(self, layer: int, block: Block, kind: str, x: Tensor) -> Float[Tensor, "stored n batch pos d_head"]:
        """q at the pass's columns; k and v at all, those before being constants."""
        tables = self.base.layout.rotary(block.attention)
        if tables is not None:
            tables = self._of(tables[0]), self._of(tables[1])
        new = project_layer(block.attention, kind, block.ln1(x), tables)
        if kind == "q" or self.start == 0:
            return new
        before = getattr(self.base.run, kind)[layer][:, None, :, : self.start]
        return torch.cat([before.expand(-1, new.shape[1], -1, -1, -1), new], 3)

    def _attend(self, layer: int, block: Block, inputs: dict[str, Tensor]) -> Float[Tensor, "h n batch width d_head"]:
        bias = self._of(self.base.layout.bias_of(block.attention))
        return attend_layer(block.attention, inputs["q"], inputs["k"], inputs["v"], bias)
