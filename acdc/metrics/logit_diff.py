"""Logit difference."""

from acdc.metrics.answers import mean_logit_at, wide
from acdc.metrics.metric import Answers, Logits, Metric, Values

__all__ = ["METRIC"]


def logit_diff(logits: Logits, correct: Answers, wrong: Answers, reference: Logits) -> Values:
    """Mean logit of the correct answers minus mean logit of the wrong ones."""
    logits = wide(logits)
    return mean_logit_at(logits, correct) - mean_logit_at(logits, wrong)


METRIC = Metric(
    "logit_diff",
    "mean logit of the correct answers minus that of the wrong ones",
    logit_diff,
    higher_is_better=True,
    answers_only=True,
    needs_wrong=True,
)
