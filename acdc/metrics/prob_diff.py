"""Probability difference."""

from acdc.metrics.answers import answer_probability
from acdc.metrics.metric import Answers, Logits, Metric, Values

__all__ = ["METRIC"]


def prob_diff(logits: Logits, correct: Answers, wrong: Answers, reference: Logits) -> Values:
    """Total probability of the correct answers minus that of the wrong ones (Hanna et al. 2023, section 2)."""
    return answer_probability(logits, correct) - answer_probability(logits, wrong)


METRIC = Metric(
    "prob_diff",
    "probability of the correct answers minus that of the wrong ones",
    prob_diff,
    higher_is_better=True,
    needs_wrong=True,
)
