"""What a circuit is measured by: pure functions of the logits at the target position, computed in float32 at least.

| metric | value of a prompt | better |
|---|---|---|
| `kl` | KL(full model ‖ circuit) over the vocabulary, in nats | lower |
| `logit_diff` | mean logit of the correct answers - mean logit of the wrong ones | higher |
| `prob_diff` | probability of the correct answers - probability of the wrong ones | higher |
| `nll` | -log of the correct answers' total probability, in nats | lower |

Discovery minimises the **loss**: the mean value where lower is better, minus the mean value where higher is better.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.errors import TaskError
from acdc.prompts.batch import PromptBatch
from acdc.registry import Registry

__all__ = ["METRICS", "Metric", "Objective", "accuracy", "answer_probability", "get_metric", "top1_accuracy"]

Logits = Float[Tensor, "rows vocab"]
Correct = Int[Tensor, "rows n_correct"]
Wrong = Int[Tensor, "rows n_wrong"]
Ids = Int[Tensor, "rows n_answers"]
Values = Float[Tensor, " rows"]


@dataclass(frozen=True)
class Metric:
    """A measure of a prompt's target logits.

    Attributes:
        function: `(logits, correct, wrong, reference)` to one value a row; `reference` is the full model's logits.
        higher_is_better: The sign.
        answers_only: It reads no other logits than those of the answers, so only these need to be computed.
        needs_wrong: It is defined only for tasks that list wrong answers.
        flat_at_clean: Its gradient is zero where the circuit is the full model.
        against: For a metric that reads the reference and no answers: the same function of the logits alone, with what
            depends on the reference computed once.
    """

    name: str
    summary: str
    function: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    higher_is_better: bool
    answers_only: bool = False
    needs_wrong: bool = False
    flat_at_clean: bool = False
    against: Callable[[Tensor], Callable[[Tensor], Tensor]] | None = None

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if self.higher_is_better else -1


def kl(logits: Logits, correct: Correct, wrong: Wrong, reference: Logits) -> Values:
    """KL(reference ‖ logits) = log E_p[exp(x)], with x = δ - E_p[δ], δ = logits - reference and p = softmax(reference).

    Written as log1p(E_p[expm1(x) - x]), which is the same since E_p[x] = 0: the linear terms, which cancel in the sum
    and are much larger than it where the two nearly agree, are gone before they are rounded.
    """
    return kl_against(reference)(logits)


def kl_against(reference: Logits) -> Callable[[Tensor], Tensor]:
    """`kl` from this reference, a function of the logits."""
    reference = _wide(reference).T.contiguous().T  # as `PatchableModel.unembed` lays logits out
    p = reference.T.softmax(0).T

    def values(logits: Tensor) -> Tensor:
        logits = _wide(logits)
        x = logits - reference
        mean = torch.linalg.vecdot(p, x)
        x.sub_(mean[:, None])
        exp = x.expm1()
        rest = exp - x if exp.requires_grad else exp.sub_(x)  # the backward pass of expm1 needs its result
        found = torch.linalg.vecdot(p, rest).log1p()
        if bool(torch.isfinite(found).all()):
            return found
        far = (reference.log_softmax(-1) + logits - reference).logsumexp(-1) - mean  # where expm1 overflows
        return torch.where(torch.isfinite(found), found, far)

    return values


def logit_diff(logits: Logits, correct: Correct, wrong: Wrong, reference: Logits) -> Values:
    """Mean logit of the correct answers minus mean logit of the wrong ones."""
    logits = _wide(logits)
    return _mean_at(logits, correct) - _mean_at(logits, wrong)


def prob_diff(logits: Logits, correct: Correct, wrong: Wrong, reference: Logits) -> Values:
    """Total probability of the correct answers minus that of the wrong ones (Hanna et al. 2023, section 2)."""
    return answer_probability(logits, correct) - answer_probability(logits, wrong)


def nll(logits: Logits, correct: Correct, wrong: Wrong, reference: Logits) -> Values:
    """Minus the log of the correct answers' total probability."""
    logits = _wide(logits)
    return logits.logsumexp(-1) - _at(logits, correct).logsumexp(-1)


def accuracy(logits: Logits, correct: Correct, wrong: Wrong) -> Bool[Tensor, " rows"]:
    """Whether the correct answers have more probability than the wrong ones; of a prompt without wrong ones, whether
    the most probable token is correct."""
    if wrong.shape[1] == 0:
        return top1_accuracy(logits, correct)
    better = _at(logits, correct).logsumexp(-1) > _at(logits, wrong).logsumexp(-1)
    return better.where((wrong >= 0).any(-1), top1_accuracy(logits, correct))


def top1_accuracy(logits: Logits, correct: Correct) -> Bool[Tensor, " rows"]:
    """Whether the most probable token of the whole vocabulary is a correct answer."""
    return (logits.argmax(-1, keepdim=True) == correct).any(-1)


def answer_probability(logits: Logits, ids: Ids) -> Values:
    """The total probability of the answers; 0 where there are none."""
    logits = _wide(logits)
    return _at(logits - logits.logsumexp(-1, keepdim=True), ids).exp().sum(-1)


def _wide(logits: Tensor) -> Tensor:
    """In float32 at least: a metric of bfloat16 or float16 logits is no coarser than these."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _at(logits: Logits, ids: Ids) -> Float[Tensor, "rows n_answers"]:
    """Logits at the answers; -inf where a row has no more answers."""
    return logits.gather(1, ids.clamp_min(0)).masked_fill(ids < 0, -torch.inf)


def _mean_at(logits: Logits, ids: Ids) -> Values:
    return logits.gather(1, ids.clamp_min(0)).masked_fill(ids < 0, 0).sum(-1) / (ids >= 0).sum(-1)


METRICS = Registry.of(
    "metric",
    (
        Metric(
            "kl",
            "KL divergence from the full model, in nats",
            kl,
            higher_is_better=False,
            flat_at_clean=True,
            against=kl_against,
        ),
        Metric(
            "logit_diff",
            "mean logit of the correct answers minus that of the wrong ones",
            logit_diff,
            higher_is_better=True,
            answers_only=True,
            needs_wrong=True,
        ),
        Metric(
            "prob_diff",
            "probability of the correct answers minus that of the wrong ones",
            prob_diff,
            higher_is_better=True,
            needs_wrong=True,
        ),
        Metric("nll", "minus the log probability of the correct answers, in nats", nll, higher_is_better=False),
    ),
)


def get_metric(name: "str | Metric") -> Metric:
    """The metric of this name; a `Metric` is returned as it is.

    Raises:
        UnknownNameError: No metric has this name.
    """
    return name if isinstance(name, Metric) else METRICS.find(name)


class Objective:
    """A metric bound to a batch and to the full model's logits on it.

    Args:
        metric: What to measure.
        batch: Whose answers to read.
        clean_logits: The full model's logits at the targets: the reference of `kl`.

    Attributes:
        tokens: Ids of the logits that the metric reads, or None for all.

    Raises:
        TaskError: The metric needs wrong answers and a pair has none.
    """

    def __init__(self, metric: Metric, batch: PromptBatch, clean_logits: Float[Tensor, "batch vocab"]) -> None:
        if metric.needs_wrong and bool(((batch.wrong >= 0).sum(1) == 0).any()):
            raise TaskError(
                f"metric {metric.name!r} needs wrong answers, and task {batch.task!r} lists none; use kl or nll"
            )
        self.metric = metric
        self.tokens: Tensor | None = None
        self._correct, self._wrong, self._reference = batch.correct, batch.wrong, clean_logits
        self._against = None if metric.against is None else metric.against(clean_logits)
        if metric.answers_only:
            self.tokens = torch.cat([batch.correct, batch.wrong], 1).unique()
            self.tokens = self.tokens[self.tokens >= 0]
            self._reference = clean_logits[:, self.tokens]
            self._correct, self._wrong = (self._columns(ids) for ids in (batch.correct, batch.wrong))

    def _columns(self, ids: Ids) -> Ids:
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
        """One value a row; rows are whole copies of the batch, one after another."""
        return torch.cat([self._measure(copy) for copy in logits.split(self._correct.shape[0])])

    def _measure(self, logits: Logits) -> Values:
        """One value a row of one copy of the batch."""
        if self._against is not None:
            return self._against(logits)
        return self.metric.function(logits, self._correct, self._wrong, self._reference)

    def loss(self, logits: Logits) -> Float[Tensor, " copies"]:
        """The mean loss of each copy of the batch, in float64; lower is better."""
        values = self.values(logits).double().view(-1, self._correct.shape[0]).mean(1)
        return -values if self.metric.higher_is_better else values
