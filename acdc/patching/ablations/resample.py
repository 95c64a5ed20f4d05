"""Another prompt's activations."""

import torch
from torch import Tensor

from acdc.errors import TaskError
from acdc.models import PatchableModel
from acdc.patching.ablation import Ablated, Ablation, from_first
from acdc.patching.activations import NodeOutputs
from acdc.prompts.batch import PromptBatch

__all__ = ["ABLATION"]


def resample(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """The clean outputs of another prompt of the batch, of the same length (Chan et al. 2022).

    Raises:
        TaskError: A prompt has no other of its length.
    """
    order = _derangement(batch, seed)
    changed = batch.clean[order] != batch.clean
    if not changed.any():
        raise TaskError(f"task {batch.task!r}: all prompts of a length are equal, so resampling changes nothing")
    moved = NodeOutputs(clean.input[order], tuple(z[:, order] for z in clean.z), tuple(mlp[order] for mlp in clean.mlp))
    return Ablated(moved, from_first(changed), coherent=True)


def _derangement(batch: PromptBatch, seed: int) -> Tensor:
    """For each prompt another one of its length: a shuffled cycle through each length's prompts."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.arange(batch.n)
    for length in batch.lengths.unique().tolist():
        rows = (batch.lengths.cpu() == length).nonzero()[:, 0]
        if len(rows) == 1:
            raise TaskError(
                f"ablation 'resample' needs another prompt of the same length for each; task {batch.task!r} has one "
                f"prompt alone with {length} tokens: use more prompts, one template, or another ablation"
            )
        rows = rows[torch.randperm(len(rows), generator=generator)]
        order[rows] = rows.roll(1)
    return order.to(batch.clean.device)


ABLATION = Ablation("resample", "the activation of another clean prompt of the same length", resample)
