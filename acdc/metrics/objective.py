"""A metric bound to a batch: what discovery minimises."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import TaskError
from acdc.metrics.metric import Answers, Logits, Metric, Values
from acdc.prompts.batch import PromptBatch

__all__ = ["Objective"]


class Objective:
    """A metric bound to a batch and to the full model's logits on it.

    Args:
        metric: What to measure.
        batch: Whose answers to read.
        clean_logits: The full model's logits at the targets: the reference of `kl`.

    Attributes:
        tokens: Ids of the logits that the metric reads, or None for all.

    Raises:
        TaskError: The metric needs wrong answers and a pair has none; or answers have several tokens, and it is not
            defined for those.
    """

    def __init__(self, metric: Metric, batch: PromptBatch, clean_logits: Float[Tensor, "batch vocab"]) -> None:
        if batch.pair_ids is not None and not metric.whole_answers:
            raise TaskError(
                f"metric {metric.name!r} is of answers of one token, and task {batch.task!r} has answers of several; "
                "use answer_logprob or kl, or take their first tokens (answers='first', --first-token)"
            )
        if metric.needs_wrong and bool(((batch.wrong >= 0).sum(1) == 0).any()):
            raise TaskError(
                f"metric {metric.name!r} needs wrong answers, and task {batch.task!r} lists none; use kl or nll"
            )
        self.metric, self._rows_per_pair = metric, batch.rows_per_pair
        self.tokens: Tensor | None = None
        self._correct, self._wrong, self._reference = batch.correct, batch.wrong, clean_logits
        self._against = None if metric.against is None else metric.against(clean_logits)
        if metric.answers_only:
            self.tokens = torch.cat([batch.correct, batch.wrong], 1).unique()
            self.tokens = self.tokens[self.tokens >= 0]
            self._reference = clean_logits[:, self.tokens]
            self._correct, self._wrong = (self._columns(ids) for ids in (batch.correct, batch.wrong))

    def _columns(self, ids: Answers) -> Answers:
        """Answers as columns of the logits that are computed; -1 stays."""
        assert self.tokens is not None
        return torch.where(ids < 0, ids, torch.searchsorted(self.tokens, ids.clamp_min(0)))

    def select(self, rows: Int[Tensor, " n"]) -> "Objective":
        """The objective of some of the prompts."""
        part = copy.copy(self)
        part._correct, part._wrong, part._reference = (x[rows] for x in (self._correct, self._wrong, self._reference))
        part._against = None if self.metric.against is None else self.metric.against(part._reference)
        return part

    def values(self, logits: Logits) -> Values:
        """One value a row; rows are whole copies of the batch, one after another.

        Where answers have several tokens, a mean over the whole batch's rows is one over pairs of each pair's sum.
        """
        found = torch.cat([self._measure(copy) for copy in logits.split(self._correct.shape[0])])
        return found if self._rows_per_pair == 1 else found * self._rows_per_pair

    def _measure(self, logits: Logits) -> Values:
        """One value a row of one copy of the batch."""
        if self._against is not None:
            return self._against(logits)
        return self.metric.function(logits, self._correct, self._wrong, self._reference)

    def loss(self, logits: Logits) -> Float[Tensor, " copies"]:
        """The mean loss of each copy of the batch, in float64; lower is better."""
        return self.metric.loss(self.values(logits).double().view(-1, self._correct.shape[0]).mean(1))
