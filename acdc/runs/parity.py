"""Our clean logits beside the unmodified Hugging Face model's: a model that is computed otherwise is refused."""

import torch

from acdc.defaults import MEMORY
from acdc.errors import ModelError
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

__all__ = ["check_parity"]

# how far logits may be apart, in units of the largest one (of 1, where all are smaller); some models' own norms and
# softmax are in float32 in a float64 model too
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.2}


def check_parity(problem: Problem) -> dict[str, float]:
    """How far our clean logits are from Hugging Face's: `max_abs_difference`, and how far they may be: `allowed`.

    Raises:
        ModelError: Too far for rounding: this model isn't computed as its family says.
    """
    ours = problem.clean.logits.double()
    theirs = torch.cat([problem.model.reference_logits(part) for part in _parts(problem.batch, ours.shape[1])]).double()
    scale = max(1.0, float(theirs.abs().max()))
    difference, allowed = float((ours - theirs).abs().max()), TOLERANCE[problem.model.dtype] * scale
    if not difference <= allowed:
        raise ModelError(
            f"the logits of {problem.model.name!r} differ from Hugging Face's by {difference:.3g} (allowed: "
            f"{allowed:.3g}), so its circuit would not be this model's; please report the model"
        )
    return {"max_abs_difference": difference, "allowed": allowed}


def _parts(batch: PromptBatch, n_vocab: int) -> list[PromptBatch]:
    """The batch in pieces whose logits at all positions fit into about `MEMORY` bytes."""
    size = max(1, MEMORY // (4 * n_vocab * batch.n_pos))
    return [batch.select(list(range(start, min(start + size, batch.n)))) for start in range(0, batch.n, size)]
