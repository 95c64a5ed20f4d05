"""The model with one source alone ablated to a constant, each row another source or prompt; differentiable in it.

The layers below a source are as in the clean run, so only those from its own on are computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.models import PatchableModel
from acdc.patching.activations import ActivationCache, NodeOutputs
from acdc.patching.attention import layer_out, layer_z
from acdc.patching.layout import Layout
from acdc.prompts.batch import PromptBatch

__all__ = ["Alone", "Rows", "rows_that_fit"]

INPUT = -1  # the layer of the source `input`


@dataclass(frozen=True)
class Rows:
    """Runs in which a source of one layer is ablated.

    Attributes:
        layer: That layer; -1 for `input`.
        places: Of each row's source in it: its head, or the number of heads for the MLP; 0 for `input`.
        prompts: Each row's prompt.
    """

    layer: int
    places: Int[Tensor, " rows"]
    prompts: Int[Tensor, " rows"]

    @classmethod
    def all_of(cls, layer: int, n_heads: int, prompts: Int[Tensor, " n"]) -> "Rows":
        """Every source of a layer on each of these prompts, source by source."""
        places = torch.arange(1 if layer == INPUT else n_heads + 1, device=prompts.device)
        return cls(layer, places.repeat_interleave(len(prompts)), prompts.repeat(len(places)))

    def split(self, size: int) -> Sequence["Rows"]:
        """The same in pieces of at most `size` rows."""
        pieces = zip(self.places.split(size), self.prompts.split(size), strict=True)
        return [Rows(self.layer, places, prompts) for places, prompts in pieces]


@dataclass(frozen=True)
class Alone:
    """A model and its clean run on some prompts, in which sources are ablated one at a time."""

    model: PatchableModel
    batch: PromptBatch
    clean: ActivationCache

    def logits(self, rows: Rows, constants: NodeOutputs) -> Float[Tensor, "rows vocab"]:
        """The target logits of each row, with its source at its constant at every position."""
        batch, components = self.batch.select(rows.prompts), self.model.components
        layout = Layout(batch, self.model.dtype)
        if rows.layer == INPUT:
            x = constants.input.expand(*batch.clean.shape, -1)
        else:
            x = self._from_layer(rows, self.batch.n_pos - batch.n_pos, constants)
        for block in components.blocks[rows.layer + 1 :]:
            read = x
            x = x + layer_out(block, layer_z(block, x, layout))
            x = x + block.mlp(block.ln2(read if components.parallel else x))
        return self.model.unembed(x[:, -1])

    def _from_layer(self, rows: Rows, start: int, constants: NodeOutputs) -> Float[Tensor, "rows pos d_model"]:
        """The residual stream after the layer of the ablated sources; columns before `start` are padding in all."""
        block, clean, layer = self.model.components.blocks[rows.layer], self.clean, rows.layer
        read = clean.resid_pre[layer][rows.prompts, start:]
        z = clean.outputs.z[layer][:, rows.prompts, start:]
        is_ablated = rows.places == torch.arange(len(z), device=z.device)[:, None]
        z = torch.where(is_ablated[:, :, None, None], constants.z[layer][:, None, None, :], z)
        x = read + layer_out(block, z)
        mlp = block.mlp(block.ln2(read if self.model.components.parallel else x))
        return x + torch.where((rows.places == len(z))[:, None, None], constants.mlp[layer], mlp)


def rows_that_fit(model: PatchableModel, n_pos: int, memory: int) -> int:
    """How many rows' graphs about `memory` bytes can hold, at least one: insides of norms, heads and MLPs, patterns."""
    graph = model.graph
    numbers = graph.n_layers * n_pos * (32 * graph.d_model + 2 * graph.n_heads * n_pos)
    return max(1, memory // (numbers * model.dtype.itemsize))
