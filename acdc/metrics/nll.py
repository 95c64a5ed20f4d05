"""Negative log likelihood."""

from acdc.metrics.answers import logits_at, wide
from acdc.metrics.metric import Answers, Logits, Metric, Values

__all__ = ["METRIC"]


def nll(logits: Logits, correct: Answers, wrong: Answers, reference: Logits) -> Values:
    """Minus the log of the correct answers' total probability."""
    logits = wide(logits)
    return logits.logsumexp(-1) - logits_at(logits, correct).logsumexp(-1)


METRIC = Metric("nll", "minus the log probability of the correct answers, in nats", nll, higher_is_better=False)
