"""The mean of the corrupted prompts' activations at each position."""

from torch import Tensor

from acdc.models import PatchableModel
from acdc.patching.ablation import Ablated, Ablation, of_each
from acdc.patching.activations import NodeOutputs, run
from acdc.prompts.batch import PromptBatch

__all__ = ["ABLATION"]


def mean_positional(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """The mean over the corrupted prompts per position, counted from the target (Wang et al. 2022, section 2)."""
    real = batch.attention[:, :, None].to(model.dtype)
    count = real.sum(0).clamp_min(1)

    def average(x: Tensor) -> Tensor:  # [..., batch pos width]
        return ((x * real).sum(-3, keepdim=True) / count).expand_as(x)

    return Ablated(of_each(average, run(model, batch, batch.corrupt).outputs), batch.attention, coherent=False)


ABLATION = Ablation("mean-positional", "the mean over the corrupted prompts, position by position", mean_positional)
