"""What a pair's rows say together, where an answer has several tokens and each row asks for one of them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.metrics.answers import logits_at, top1_accuracy
from acdc.prompts.batch import PromptBatch

__all__ = ["first_rows", "sums", "whole_answers"]


def sums(values: Float[Tensor, " row"], pair_ids: Int[Tensor, " row"]) -> Float[Tensor, " pair"]:
    """The sum of each pair's rows, in the order of the pairs."""
    pairs, place = pair_ids.to(values.device).unique(return_inverse=True)
    return values.new_zeros(len(pairs)).index_add(0, place, values)


def first_rows(batch: PromptBatch) -> list[int]:
    """The first row of each pair, in the order of the pairs."""
    if batch.pair_ids is None:
        return list(range(batch.n))
    ids = batch.pair_ids.tolist()
    return [ids.index(pair) for pair in sorted(set(ids))]


def whole_answers(logits: Float[Tensor, "row vocab"], batch: PromptBatch) -> dict[str, Tensor]:
    """How well the task is done, by pair.

    Returns:
        `accuracy`: the right answer as a whole is more probable than the wrong one; where there is none, as
        `top1_accuracy`: the right one is chosen token by token, the most probable each time. `p_correct`, `p_wrong`:
        the answers' probabilities, after what both begin with; 0 where there is none.
    """
    assert batch.pair_ids is not None
    ids, logs = batch.pair_ids, logits.log_softmax(-1)
    asks, against = (batch.correct >= 0).any(1), (batch.wrong >= 0).any(1)
    log_right, log_wrong = (sums(_log_p(logs, each), ids) for each in (batch.correct, batch.wrong))
    chosen = sums((asks & ~top1_accuracy(logits, batch.correct)).double(), ids) == 0
    has_wrong = sums(against.double(), ids) > 0
    return {
        "accuracy": torch.where(has_wrong, log_right > log_wrong, chosen),
        "top1_accuracy": chosen,
        "p_correct": log_right.exp(),
        "p_wrong": torch.where(has_wrong, log_wrong.exp(), 0.0),
    }


def _log_p(logs: Float[Tensor, "row vocab"], answers: Int[Tensor, "row n"]) -> Float[Tensor, " row"]:
    """Of each row's answers together; 0 where it asks for none."""
    if not answers.shape[1]:
        return logs.new_zeros(len(logs))
    return logits_at(logs, answers).logsumexp(-1).masked_fill(~(answers >= 0).any(1), 0.0)
