"""The retrieval head: as the model repeats something from afar, it looks at the token that is written."""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.interpret.attention_pass import LayerAttention, Visit, attention_pass
from acdc.interpret.evidence import Evidence
from acdc.interpret.evidence.needles import Needle, needle_batch
from acdc.interpret.head_names import place_of
from acdc.interpret.roles.role import Role, Scores
from acdc.interpret.tested import Tested, falls
from acdc.metrics.answers import wide

__all__ = ["ROLE", "retrieval"]


def retrieval(evidence: Evidence) -> Scores:
    """Share of the needle's tokens that the head looks at most as they are written; mean over answered prompts."""
    return Scores(evidence.needles.scores)


def answers_less(evidence: Evidence, head: str) -> Tested:
    """Without what it reads in the needle, the answer that the model wrote becomes less probable."""
    layer, h = place_of(evidence.model, head)

    def unread(needle: Needle) -> Visit:
        def visit(here: LayerAttention) -> Tensor | None:
            if here.layer != layer:
                return None
            pattern = here.pattern.clone()
            pattern[h, :, needle.start - 1 :, needle.first : needle.stop] = 0
            return here.z(pattern)

        return visit

    drops = [
        _log_probability(evidence, needle, lambda here: None) - _log_probability(evidence, needle, unread(needle))
        for needle in evidence.needles.answered
    ]
    return falls(
        "its attention to the needle is set to 0 while the answer is written",
        "the written answer's mean log-probability falls (nats)",
        torch.stack(drops),
    )


@torch.no_grad()
def _log_probability(evidence: Evidence, needle: Needle, visit: Visit) -> Float[Tensor, ""]:
    """Mean log-probability of what was written, for as many tokens as the answer has."""
    model, n = evidence.model, needle.stop - needle.first
    ids = torch.tensor([needle.ids], device=model.device)
    batch = needle_batch(ids)
    final = attention_pass(model, batch, batch.clean, visit)[0, needle.start - 1 : needle.start - 1 + n]
    written = ids[0, needle.start : needle.start + n]
    return wide(model.unembed(final)).log_softmax(-1).gather(1, written[:, None]).mean().double().cpu()


ROLE = Role(
    name="retrieval",
    does="looks at the token in the far context that the model is about to repeat",
    evidence="needles",
    measure=retrieval,
    definition="as the model repeats a needle greedily: written tokens that stand where the head looks most, in the "
    "needle, over the needle's length; mean over prompts that it answers",
    source="Wu et al. 2024, Retrieval head mechanistically explains long-context factuality (arXiv 2404.15574)",
    cut=0.1,
    test=answers_less,
)
