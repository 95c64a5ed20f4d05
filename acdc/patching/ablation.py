"""What a removed edge carries instead: one value per source, prompt and position."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from acdc.errors import TaskError
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.patching.activations import NodeOutputs, run
from acdc.prompts.batch import PromptBatch
from acdc.registry import Registry

__all__ = ["ABLATIONS", "Ablated", "Ablation", "ablate"]


@dataclass(frozen=True)
class Ablated:
    """Ablated outputs of all sources.

    Attributes:
        active: The positions at which they can differ from the clean ones; before, all is constant (fact 5).
        coherent: They are one run's, so a node that reads nothing but ablated outputs writes its own ablated output. Of
            others, like zeros and means, it writes something else, and so matters without any kept edge into it.
    """

    outputs: NodeOutputs
    active: Bool[Tensor, "batch pos"]
    coherent: bool

    def select(self, prompts: Int[Tensor, " n"], start: int) -> "Ablated":
        """Those of some prompts, from a column on."""
        return replace(self, outputs=self.outputs.select(prompts, start), active=self.active[prompts, start:])


@dataclass(frozen=True)
class Ablation:
    """A way to make ablated outputs: `make(model, batch, clean outputs, seed)`."""

    name: str
    summary: str
    make: Callable[[PatchableModel, PromptBatch, NodeOutputs, int], Ablated]


def corrupt(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """The corrupted prompts' outputs (interchange; Geiger et al. 2021, Conmy et al. 2023)."""
    return Ablated(run(model, batch, batch.corrupt).outputs, _from_first(batch.clean != batch.corrupt), coherent=True)


def zero(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """Zero for every source, `input` included."""
    return Ablated(_map(torch.zeros_like, clean), batch.attention, coherent=False)


def mean(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """The mean over the corrupted prompts per position, counted from the target (Wang et al. 2022, section 2)."""
    real = batch.attention[:, :, None].to(model.dtype)
    count = real.sum(0).clamp_min(1)

    def average(x: Tensor) -> Tensor:  # [..., batch pos width]
        return ((x * real).sum(-3, keepdim=True) / count).expand_as(x)

    return Ablated(_map(average, run(model, batch, batch.corrupt).outputs), batch.attention, coherent=False)


def noise(model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, seed: int) -> Ablated:
    """The clean prompts' outputs after Gaussian noise on the embeddings where the two sides differ.

    Its standard deviation is three times that of the embeddings (Meng et al. 2022, appendix B.1).
    """
    generator = torch.Generator().manual_seed(seed)
    deviation = 3 * clean.input[batch.attention].double().std()
    draw = torch.randn(clean.input.shape, generator=generator, dtype=torch.float64).to(clean.input.device) * deviation
    differ = batch.clean != batch.corrupt
    noisy = clean.input + draw.to(clean.input.dtype) * differ[:, :, None]
    return Ablated(run(model, batch, batch.clean, embeddings=noisy).outputs, _from_first(differ), coherent=True)


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
    return Ablated(moved, _from_first(changed), coherent=True)


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


def _from_first(differ: Bool[Tensor, "batch pos"]) -> Bool[Tensor, "batch pos"]:
    """From each prompt's first difference on; the target always."""
    active = differ.cumsum(1) > 0
    active[:, -1] = True
    return active


def _map(function: Callable[[Tensor], Tensor], outputs: NodeOutputs) -> NodeOutputs:
    """`function` of every tensor."""
    return NodeOutputs(function(outputs.input), tuple(map(function, outputs.z)), tuple(map(function, outputs.mlp)))


ABLATIONS = Registry.of(
    "ablation",
    (
        Ablation("corrupt", "the corrupted prompt's activation", corrupt),
        Ablation("zero", "zero", zero),
        Ablation("mean", "the mean over the corrupted prompts, per position", mean),
        Ablation("noise", "the clean prompt's activation after noise on the embeddings that differ", noise),
        Ablation("resample", "the activation of another clean prompt of the same length", resample),
    ),
)


@torch.no_grad()
def ablate(kind: str, model: PatchableModel, batch: PromptBatch, clean: NodeOutputs, *, seed: int = SEED) -> Ablated:
    """Ablated outputs of this kind.

    Raises:
        UnknownNameError: There is no such ablation.
        TaskError: The batch doesn't allow it.
    """
    return ABLATIONS.find(kind).make(model, batch, clean, seed)
