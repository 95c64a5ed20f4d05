"""The corrupted prompts' activations."""

from acdc.models import PatchableModel
from acdc.patching.ablation import Ablated, Ablation, from_first
from acdc.patching.activations import NodeOutputs, run
from acdc.prompts.batch import PromptBatch

__all__ = ["ABLATION"]


def corrupt(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """The corrupted prompts' outputs (interchange; Geiger et al. 2021, Conmy et al. 2023)."""
    return Ablated(run(model, batch, batch.corrupt).outputs, from_first(batch.clean != batch.corrupt), coherent=True)


ABLATION = Ablation("corrupt", "the corrupted prompt's activation", corrupt)
