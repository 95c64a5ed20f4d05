"""Log-probability of whole answers."""

import torch

from acdc.metrics.answers import wide
from acdc.metrics.metric import Answers, Logits, Metric, Values

__all__ = ["METRIC"]


def answer_logprob(logits: Logits, correct: Answers, wrong: Answers, reference: Logits) -> Values:
    """Mean log probability of the correct answers minus that of the wrong ones, either 0 where there are none.

    Of an answer of several tokens each row has one, after the answer so far (teacher forcing); the sum over a pair's
    rows is the difference of the whole answers' log probabilities. Of answers of one token it is the logit difference.
    """
    logits = wide(logits)
    logits = logits - logits.logsumexp(-1, keepdim=True)
    return _mean(logits, correct) - _mean(logits, wrong)


def _mean(logs: Logits, ids: Answers) -> Values:
    at = logs.gather(1, ids.clamp_min(0)).masked_fill(ids < 0, 0).sum(-1)
    return at / (ids >= 0).sum(-1).clamp_min(1).to(torch.promote_types(logs.dtype, torch.float32))


METRIC = Metric(
    "answer_logprob",
    "log probability of the whole correct answer minus that of the wrong one, in nats",
    answer_logprob,
    higher_is_better=True,
    whole_answers=True,
    single_tokens=False,
)
