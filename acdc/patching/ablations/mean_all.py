"""The mean of the corrupted prompts' activations, all positions together."""

from torch import Tensor

from acdc.models import PatchableModel
from acdc.patching.ablation import Ablated, Ablation, everywhere, of_each
from acdc.patching.activations import NodeOutputs, run
from acdc.prompts.batch import PromptBatch

__all__ = ["ABLATION", "mean_constants"]


def mean_all(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """The mean over all tokens of the corrupted prompts: one vector a source (as EAP-IG's and MIB's `mean`)."""
    return everywhere(mean_constants(model, batch), batch)


def mean_constants(model: PatchableModel, batch: PromptBatch) -> NodeOutputs:
    """Each source's mean over all tokens of the corrupted prompts, `[d_model]` or `[head d_head]`."""

    def average(x: Tensor) -> Tensor:  # [..., batch pos width] to [..., width]
        return x.double().flatten(-3, -2)[..., real, :].mean(-2).to(x.dtype)

    real = batch.attention.flatten()
    return of_each(average, run(model, batch, batch.corrupt).outputs)


ABLATION = Ablation("mean-all", "the mean over all positions of all corrupted prompts (alias: mean)", mean_all)
