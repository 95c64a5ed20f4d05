"""The name mover: from the target it reads the right answer, and writes it."""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.interpret.evidence import Evidence
from acdc.interpret.head_names import Head, place_of
from acdc.interpret.readout import read_out, target_of
from acdc.interpret.roles.role import Role, Scores
from acdc.interpret.tested import Tested, falls
from acdc.patching.attention import head_results

__all__ = ["CUT", "ROLE", "direct_drop", "movers", "name_mover"]

CUT = 0.05


def name_mover(evidence: Evidence) -> Scores:
    """Attention from the target to the right answer, times what the head writes towards it, as a share."""
    return Scores(evidence.answers.copies)


def movers(evidence: Evidence) -> list[Head]:
    """The name movers, by the cut."""
    return [(layer, h) for layer, h in (evidence.answers.copies >= CUT).nonzero().tolist()]


def direct_drop(evidence: Evidence, head: str) -> Float[Tensor, " batch"]:
    """By how much the logit difference falls when the logits alone read the head's corrupted output."""
    answers, (layer, h) = evidence.answers, place_of(evidence.model, head)
    attention = evidence.model.components.blocks[layer].attention
    change = (answers.corrupt.scaled - answers.clean.scaled)[layer, h]
    final = answers.clean.final + head_results(attention, change[None], [h])[0]
    target = target_of(answers.batch, answers.towards, len(evidence.model.components.unembed))
    with torch.no_grad():
        patched = read_out(evidence.model, final, target.tokens, target.weights.to(final.device)).logit
    return answers.clean.logits - patched


def writes_it(evidence: Evidence, head: str) -> Tested:
    """Without its direct effect the right answer loses."""
    return falls(
        "its edge to the logits carries the corrupted prompt's output",
        "the logit difference falls",
        direct_drop(evidence, head),
    )


ROLE = Role(
    name="name mover",
    does="reads the right answer where it stands in the prompt, and writes it",
    evidence="task prompts",
    measure=name_mover,
    definition="mean of attention from the target to the right answer times direct attribution to the logit "
    "difference, as a share of the mean logit difference",
    source="Wang et al. 2022, Interpretability in the wild (arXiv 2211.00593), section 3.1",
    cut=CUT,
    cut_source="ours: the paper ranks heads",
    test=writes_it,
)
