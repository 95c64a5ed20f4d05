"""Our clean logits beside the unmodified Hugging Face model's: a model that is computed otherwise is refused."""

import torch

from acdc.errors import ModelError
from acdc.models.config_file import has_experts
from acdc.options.defaults import MEMORY
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

__all__ = ["check_parity"]

# How far logits may be apart, in units of the largest one (of 1, where all are smaller). Some models' own norms and
# softmax are in float32 in a float64 model too. In 16 bits: twice the most that rounding was seen to do, 0.026 in
# bfloat16 and 0.0037 in float16 (SmolLM2-135M and the bundled models, five tasks, logits of 8 to 40).
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 0.0075, torch.bfloat16: 0.05}
# Where two experts are nearly as good, rounding decides which of them a token goes to.
TOLERANCE_OF_EXPERTS = TOLERANCE | {torch.float16: 0.05, torch.bfloat16: 0.2}


def check_parity(problem: Problem) -> dict[str, float]:
    """How far our clean logits are from Hugging Face's: `max_abs_difference`, and how far they may be: `allowed`.

    Raises:
        ModelError: Too far for rounding: this model isn't computed as its family says.
    """
    ours = problem.clean.logits.double()
    theirs = torch.cat([problem.model.reference_logits(part) for part in _parts(problem.batch, ours.shape[1])]).double()
    scale = max(1.0, float(theirs.abs().max()))
    tolerance = TOLERANCE_OF_EXPERTS if has_experts(problem.model.hf.config) else TOLERANCE
    difference, allowed = float((ours - theirs).abs().max()), tolerance[problem.model.dtype] * scale
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
