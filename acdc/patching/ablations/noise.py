"""Noise on the embeddings of what differs."""

import torch

from acdc.models import PatchableModel
from acdc.patching.ablation import Ablated, Ablation, from_first
from acdc.patching.activations import NodeOutputs, run
from acdc.prompts.batch import PromptBatch

__all__ = ["ABLATION"]


def noise(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """The clean prompts' outputs after Gaussian noise on the embeddings where the two sides differ.

    Its standard deviation is three times that of the embeddings (Meng et al. 2022, appendix B.1).
    """
    generator = torch.Generator().manual_seed(seed)
    deviation = 3 * clean.input[batch.attention].double().std()
    draw = torch.randn(clean.input.shape, generator=generator, dtype=torch.float64).to(clean.input.device) * deviation
    differ = batch.clean != batch.corrupt
    noisy = clean.input + draw.to(clean.input.dtype) * differ[:, :, None]
    return Ablated(run(model, batch, batch.clean, embeddings=noisy).outputs, from_first(differ), coherent=True)


ABLATION = Ablation("noise", "the clean prompt's activation after noise on the embeddings that differ", noise)
