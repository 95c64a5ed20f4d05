"""Nothing at all."""

import torch

from acdc.models import PatchableModel
from acdc.patching.ablation import Ablated, Ablation, of_each
from acdc.patching.activations import NodeOutputs
from acdc.prompts.batch import PromptBatch

__all__ = ["ABLATION"]


def zero(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """Zero for every source, `input` included."""
    return Ablated(of_each(torch.zeros_like, clean), batch.attention, coherent=False)


ABLATION = Ablation("zero", "zero", zero)
