"""How a task's answers are read: where each head looks from the target, and what it writes towards the right answer.

The right answer must stand in the prompt, like IOI's indirect object, and for some roles the wrong one too. All terms
are of the target position. What a head writes towards the logit difference is read with the final norm's scale held
(direct logit attribution).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.interpret.attention_pass import LayerAttention, Visit, attention_pass
from acdc.interpret.head_names import Head
from acdc.interpret.readout import read_out, target_of
from acdc.interpret.unmeasured import Unmeasured
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.patching.attention import pull_to_heads
from acdc.prompts.batch import PromptBatch

__all__ = ["Answers", "AtTarget", "put"]


@dataclass(frozen=True)
class AtTarget:
    """A run, seen from the target.

    Attributes:
        looks: Each head's attention from the target.
        z: What each head writes there, in head space; `scaled` after a norm after attention, where there is one.
        direct: What each head writes there towards the right answer's logit, against the wrong ones' where a task has
            these.
        logits: The same of the whole model: the logit difference, before a soft cap.
        final: The last residual stream there.
    """

    looks: Float[Tensor, "layer head batch pos"]
    z: Float[Tensor, "layer head batch d_head"]
    scaled: Float[Tensor, "layer head batch d_head"]
    direct: Float[Tensor, "layer head batch"]
    logits: Float[Tensor, " batch"]
    final: Float[Tensor, "batch d_model"]


@dataclass(frozen=True)
class Answers:
    """A task's prompts whose answers stand in them."""

    model: PatchableModel
    batch: PromptBatch

    @classmethod
    def of(cls, model: PatchableModel, batch: PromptBatch | None) -> "Answers":
        """Those prompts of a batch.

        Raises:
            Unmeasured: There is no batch, or its right answers are not to be read in most of its prompts.
        """
        if batch is None:
            raise Unmeasured("no task was given")
        batch = batch.to(model.device)
        rows = _occurs(batch, batch.correct).any(1).nonzero()[:, 0]
        if len(rows) < max(2, batch.n / 2):
            raise Unmeasured(f"the right answer of task {batch.task!r} doesn't stand in its prompts")
        return cls(model, batch.select(rows))

    @cached_property
    def right(self) -> Bool[Tensor, "batch pos"]:
        """Where the right answer stands."""
        return _occurs(self.batch, self.batch.correct)

    @cached_property
    def wrong(self) -> Bool[Tensor, "batch pos"]:
        """Where a wrong answer stands.

        Raises:
            Unmeasured: In some prompts there is none.
        """
        found = _occurs(self.batch, self.batch.wrong)
        if not bool(found.any(1).all()):
            raise Unmeasured(f"the wrong answers of task {self.batch.task!r} don't stand in its prompts")
        return found

    @property
    def towards(self) -> str:
        """What is attributed: the logit difference, or the right answer's logit where a prompt has no wrong answer."""
        return "difference" if bool((self.batch.wrong >= 0).any(1).all()) else "correct"

    @cached_property
    def clean(self) -> AtTarget:
        """The clean run."""
        return self.run(self.batch.clean)

    @cached_property
    def corrupt(self) -> AtTarget:
        """The corrupted run."""
        return self.run(self.batch.corrupt)

    @cached_property
    def margin(self) -> float:
        """The model's mean logit difference.

        Raises:
            Unmeasured: It isn't positive: the model doesn't do the task.
        """
        found = float(self.clean.logits.mean())
        if found <= 0:
            raise Unmeasured(f"the model doesn't do task {self.batch.task!r} (mean logit difference {found:.2g})")
        return found

    @property
    def copies(self) -> Float[Tensor, "layer head"]:
        """By how much of the model's logit difference each head writes the right answer where it reads it:
        mean(A[target, answer] · direct) / mean(logit difference)."""
        reads = (self.clean.looks * self.right).sum(-1)
        return ((reads * self.clean.direct).mean(-1) / self.margin).double().cpu()

    def prefers(self, looks: Float[Tensor, "*n batch pos"]) -> Float[Tensor, "*n batch"]:
        """How much more attention the right answer gets than the wrong one."""
        return (looks * (self.right.long() - self.wrong.long())).sum(-1)

    @torch.no_grad()
    def run(self, ids: Int[Tensor, "batch pos"], edit: Visit = lambda here: None) -> AtTarget:
        """A run, perhaps with other z."""
        looks, zs, scaled = list[Tensor](), list[Tensor](), list[Tensor]()

        def visit(here: LayerAttention) -> Tensor | None:
            other = edit(here)
            looks.append(here.pattern[:, :, -1])
            z = here.z() if other is None else other
            zs.append(z[:, :, -1])
            scaled.append(here.written(z)[:, :, -1])
            return other

        final = attention_pass(self.model, self.batch, ids, visit)[:, -1]
        target = target_of(self.batch, self.towards, len(self.model.components.unembed))
        readout = read_out(self.model, final, target.tokens, target.weights.to(final.device))
        direct = [
            (wide(z) * pull_to_heads(block.attention, readout.gradient.to(z.dtype), range(len(z)))).sum(-1)
            for block, z in zip(self.model.components.blocks, scaled, strict=True)
        ]
        stacked = [torch.stack(each) for each in (looks, zs, scaled, direct)]
        return AtTarget(stacked[0], stacked[1], stacked[2], stacked[3], readout.logit, final)


def put(others: dict[Head, Float[Tensor, "batch d_head"]]) -> Visit:
    """What sets heads' z at the target."""

    def edit(here: LayerAttention) -> Tensor | None:
        mine = {h: z for (layer, h), z in others.items() if layer == here.layer}
        if not mine:
            return None
        z = here.z().clone()
        for h, other in mine.items():
            z[h, :, -1] = other
        return z

    return edit


def _occurs(batch: PromptBatch, answers: Int[Tensor, "batch n"]) -> Bool[Tensor, "batch pos"]:
    """Where one of its answers stands in each clean prompt."""
    return (batch.clean[:, :, None] == answers[:, None, :]).any(-1) & batch.attention
