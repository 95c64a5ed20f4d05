"""What logits say of the answers: their logits, their probability, and whether they are right."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.metrics.metric import Answers, Logits, Values

__all__ = ["accuracy", "answer_probability", "logits_at", "mean_logit_at", "top1_accuracy", "wide"]


def wide(logits: Tensor) -> Tensor:
    """The logits in float32 at least, so that a metric of bfloat16 or float16 logits is no coarser than these."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def logits_at(logits: Logits, ids: Answers) -> Float[Tensor, "rows _n_answers"]:
    """Logits of the answers; -inf where a row has no more of them."""
    return logits.gather(1, ids.clamp_min(0)).masked_fill(ids < 0, -torch.inf)


def mean_logit_at(logits: Logits, ids: Answers) -> Values:
    """The mean logit of each row's answers."""
    return logits.gather(1, ids.clamp_min(0)).masked_fill(ids < 0, 0).sum(-1) / (ids >= 0).sum(-1)


def answer_probability(logits: Logits, ids: Answers) -> Values:
    """The total probability of the answers; 0 where there are none."""
    logits = wide(logits)
    return logits_at(logits - logits.logsumexp(-1, keepdim=True), ids).exp().sum(-1)


def accuracy(logits: Logits, correct: Answers, wrong: Answers) -> Bool[Tensor, " rows"]:
    """Whether the correct answers have more probability than the wrong ones; of a prompt without wrong ones, whether
    the most probable token is correct."""
    if wrong.shape[1] == 0:
        return top1_accuracy(logits, correct)
    better = logits_at(logits, correct).logsumexp(-1) > logits_at(logits, wrong).logsumexp(-1)
    return better.where((wrong >= 0).any(-1), top1_accuracy(logits, correct))


def top1_accuracy(logits: Logits, correct: Answers) -> Bool[Tensor, " rows"]:
    """Whether the most probable token of the whole vocabulary is a correct answer."""
    return (logits.argmax(-1, keepdim=True) == correct).any(-1)
