"""The two runs of a batch that node patching mixes: the clean prompts' and the corrupted ones', each made once."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.errors import ModelError
from acdc.models import PatchableModel
from acdc.patching.activations import ActivationCache, run
from acdc.patching.direction import DENOISING, check_direction
from acdc.patching.footprint import check_footprint
from acdc.patching.layout import Layout
from acdc.prompts.batch import PromptBatch

__all__ = ["Base", "Sides"]


@dataclass(frozen=True)
class Base:
    """The run that cells are patched into.

    Attributes:
        run: Its activations.
        layout: Who may see whom.
    """

    model: PatchableModel
    batch: PromptBatch
    run: ActivationCache
    layout: Layout

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return self.model.graph.n_layers

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP of a block read the same residual stream."""
        return self.model.components.parallel

    def resid(self, layer: int) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream before a block; behind the last one, what the logits read."""
        return resid(self.run, layer)


@dataclass(frozen=True)
class Sides:
    """A batch and its two runs.

    Attributes:
        differ: Where the two sides' embeddings differ.
    """

    model: PatchableModel
    batch: PromptBatch
    clean: ActivationCache
    corrupt: ActivationCache
    differ: Bool[Tensor, "batch pos"]

    @classmethod
    def of(cls, model: PatchableModel, batch: PromptBatch) -> "Sides":
        """Check the batch and run both sides.

        Raises:
            TaskError: A prompt doesn't fit the model.
            ModelError: The logits aren't finite, or the activations don't fit into memory.
        """
        model.check_batch(batch)
        check_footprint(model, batch)
        batch = batch.to(model.device)
        clean, corrupt = (run(model, batch, ids) for ids in (batch.clean, batch.corrupt))
        return cls(model, batch, clean, corrupt, batch.clean != batch.corrupt).checked()

    def checked(self) -> "Sides":
        """These, if their logits are numbers.

        Raises:
            ModelError: They aren't.
        """
        for side in (self.clean, self.corrupt):
            if not bool(torch.isfinite(side.logits).all()):
                raise ModelError(
                    f"{self.model.name!r} gives logits that are NaN or infinite on task {self.batch.task!r}; its "
                    "weights are damaged, or it needs a wider dtype (float32)"
                )
        return self

    @cached_property
    def active(self) -> Bool[Tensor, "batch pos"]:
        """From each prompt's first difference on: before, the two runs are the same (attention looks back)."""
        return self.differ.cumsum(1) > 0

    @cached_property
    def _layout(self) -> Layout:
        return Layout(self.batch, self.model.dtype)

    def toward(self, direction: str) -> tuple[Base, ActivationCache]:
        """The run that is patched, and the one whose activations are put into it.

        Args:
            direction: `denoising` patches clean activations into the corrupted run, `noising` the other way.

        Raises:
            UnknownNameError: There is no such direction.
        """
        check_direction(direction)
        base, donor = (self.corrupt, self.clean) if direction == DENOISING else (self.clean, self.corrupt)
        return Base(self.model, self.batch, base, self._layout), donor


def resid(run: ActivationCache, layer: int) -> Float[Tensor, "batch pos d_model"]:
    """The residual stream of a run before a block; behind the last one, what the logits read."""
    return run.final if layer == len(run.resid_pre) else run.resid_pre[layer]
