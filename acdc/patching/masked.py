"""A circuit's forward pass: every destination reads the kept sources live and the removed ones ablated.

    x_d = Σ_{all s} ablated_s + constants + Σ_{kept s} (out_s - ablated_s)

What doesn't depend on the mask is made once (`acdc.patching.background`), and nodes are computed only where they can
matter: with a path to the logits, at the positions that read them and, where the ablated outputs are one run's, with
one from the input.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.models import PatchableModel
from acdc.options.defaults import MASKED_MEMORY
from acdc.patching.ablation import Ablated
from acdc.patching.activations import NodeOutputs
from acdc.patching.background import Background, can_change, is_joint
from acdc.patching.exact.reachability import Reach, reach, reading
from acdc.patching.footprint import masked_bytes
from acdc.patching.masked_pass import MaskedPass
from acdc.patching.prompt_blocks import block_size
from acdc.patching.source_changes import Scratch
from acdc.patching.spans import split_graph
from acdc.prompts.batch import PromptBatch
from acdc.ranks import ALONE, Ranks

__all__ = ["MaskedForward", "masked_logits"]


class MaskedForward:
    """Circuits' forward passes on a batch's clean prompts.

    Args:
        ablated: What removed edges carry.
        memory: About how many bytes the sources' changes may take; prompts are taken in groups that fit.
        ranks: The processes that share the groups.
    """

    def __init__(
        self,
        model: PatchableModel,
        batch: PromptBatch,
        ablated: Ablated,
        *,
        memory: int = MASKED_MEMORY,
        ranks: Ranks = ALONE,
    ) -> None:
        self.model, self.batch, self.ablated, self.memory, self.ranks = model, batch, ablated, memory, ranks
        self.scratch = Scratch()
        self._backgrounds: dict[range, Background] = {}

    @cached_property
    def graph(self) -> Graph:
        """What masks are of: the model's graph, split by the batch's spans."""
        return split_graph(self.model.graph, self.batch)

    @cached_property
    def background(self) -> Background:
        """What all passes start from."""
        return Background.make(self.model, self.batch, self.ablated)

    @cached_property
    def rows_per_prompt(self) -> int:
        """Tokens that ablation can change, of the prompt that has the most."""
        return int(can_change(self.model, self.ablated).sum(1).max())

    def block_size(self, n: int) -> int:
        """How many of `n` prompts a block has: see `acdc.patching.prompt_blocks`."""
        on_cpu = self.model.device.type == "cpu"
        return block_size("masked", self.model.graph, n, self.batch.n_pos, on_cpu=on_cpu)

    @cached_property
    def _groups(self) -> list[range]:
        """The prompts that are taken at once."""
        per_prompt = masked_bytes(self.model.graph, self.rows_per_prompt, self.model.dtype.itemsize)
        n, size = self.batch.n, min(self.block_size(self.batch.n), max(1, self.memory // per_prompt))
        return [range(first, min(first + size, n)) for first in range(0, n, size)]

    def _background(self, prompts: range) -> Background:
        """What passes on a group of prompts start from: made where the group is first taken, and kept."""
        if len(prompts) == self.batch.n:
            return self.background
        if prompts not in self._backgrounds:
            rows = torch.tensor(prompts, device=self.batch.clean.device)
            batch = self.batch.select(rows)
            ablated = self.ablated.select(rows, self.batch.n_pos - batch.n_pos)
            self._backgrounds[prompts] = Background.make(self.model, batch, ablated)
        return self._backgrounds[prompts]

    @torch.no_grad()
    def logits(self, mask: Bool[Tensor, "src dst"]) -> Float[Tensor, "batch vocab"]:
        """The logits of the circuit `mask`.

        Raises:
            CircuitError: It isn't a mask of this model's edges.
        """
        self.graph.check_mask(mask)
        nodes = needed(self.model, self.graph, mask.cpu().numpy(), from_input=self.ablated.coherent)
        weights = mask.to(self.model.device, self.model.dtype)

        def of_group(prompts: range) -> Float[Tensor, "n vocab"]:
            return MaskedPass(self._background(prompts), nodes, weights, self.scratch).logits()

        return torch.cat(list(self.ranks.spread(self._groups, of_group))).to(self.model.device)


def needed(model: PatchableModel, graph: Graph, mask: Bool[np.ndarray, "src dst"], *, from_input: bool) -> Reach:
    """The nodes that a circuit's pass must compute: those with a path to the logits, and perhaps one from the input."""
    read = reading(graph, mask)
    if any(is_joint(block.attention) for block in model.components.blocks):
        read = replace(read, all_positions=read.useful)
    changed = np.flatnonzero(mask[0]).tolist() if from_input else range(graph.n_dst)
    return reach(graph, mask, read, changed)


def masked_logits(
    model: PatchableModel,
    batch: PromptBatch,
    ablated: NodeOutputs,
    mask: Bool[Tensor, "src dst"],
    *,
    memory: int = MASKED_MEMORY,
    ranks: Ranks = ALONE,
) -> Float[Tensor, "batch vocab"]:
    """The logits of the circuit `mask` on the clean prompts, for one use; see `MaskedForward`."""
    anything = Ablated(ablated, batch.attention, coherent=False)
    return MaskedForward(model, batch, anything, memory=memory, ranks=ranks).logits(mask)
