"""Each metric by its definition, its sign, and what it reads."""

import math

import pytest
import torch

from acdc.errors import ACDCError, TaskError
from acdc.metrics import METRICS, Objective, accuracy, get_metric
from acdc.prompts.batch import PromptBatch

LOGITS = torch.randn(3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
REFERENCE = torch.randn(3, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
CORRECT, WRONG = torch.tensor([[2, -1], [0, 1], [6, -1]]), torch.tensor([[3, 4], [5, -1], [0, 1]])
RIGHT = [{2}, {0, 1}, {6}]
FALSE = [{3, 4}, {5}, {0, 1}]


def batch(wrong: torch.Tensor = WRONG) -> PromptBatch:
    ids = torch.arange(6).view(3, 2)
    return PromptBatch(ids, ids + 1, torch.ones(3, 2, dtype=torch.bool), CORRECT, wrong, "toy")


def expected(name: str, row: int) -> float:
    p, r = LOGITS[row].softmax(0).tolist(), REFERENCE[row].softmax(0).tolist()
    right, false = RIGHT[row], FALSE[row]
    return {
        "kl": sum(r[i] * math.log(r[i] / p[i]) for i in range(7)),
        "logit_diff": sum(LOGITS[row, i].item() for i in right) / len(right)
        - sum(LOGITS[row, i].item() for i in false) / len(false),
        "answer_logprob": sum(math.log(p[i]) for i in right) / len(right)
        - sum(math.log(p[i]) for i in false) / len(false),
        "prob_diff": sum(p[i] for i in right) - sum(p[i] for i in false),
        "nll": -math.log(sum(p[i] for i in right)),
    }[name]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_its_formula(name: str) -> None:
    values = METRICS[name].function(LOGITS, CORRECT, WRONG, REFERENCE)
    assert values.tolist() == pytest.approx([expected(name, row) for row in range(3)])


@pytest.mark.parametrize("name", METRICS)
def test_the_objective_gives_one_loss_per_copy_and_reads_only_what_it_says(name: str) -> None:
    objective = Objective(METRICS[name], batch(), REFERENCE)
    copies = torch.cat([LOGITS, REFERENCE])
    read = copies if objective.tokens is None else copies[:, objective.tokens]
    sign = -1 if METRICS[name].higher_is_better else 1
    loss = objective.loss(read)
    assert loss.dtype == torch.float64
    assert loss[0].item() == pytest.approx(sign * sum(expected(name, row) for row in range(3)) / 3)
    assert (objective.tokens is not None) == (name == "logit_diff")
    if name == "kl":
        assert loss[1].item() == pytest.approx(0, abs=1e-12)


def test_better_logits_have_a_lower_loss() -> None:
    better = LOGITS.clone()
    for row, right in enumerate(RIGHT):
        better[row, list(right)] += 1
    for name in ("logit_diff", "prob_diff", "nll"):
        objective = Objective(METRICS[name], batch(), REFERENCE)
        pick = slice(None) if objective.tokens is None else objective.tokens
        assert objective.loss(better[:, pick]) < objective.loss(LOGITS[:, pick])


def test_accuracy_compares_right_with_wrong_or_asks_for_the_first() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.0], [5.0, 1.0, 2.0]])
    right, wrong = torch.tensor([[2], [1]]), torch.tensor([[0], [2]])
    assert accuracy(logits, right, wrong).tolist() == [True, False]
    assert accuracy(logits, right, wrong[:, :0]).tolist() == [False, False]
    assert accuracy(logits, torch.tensor([[1], [0]]), wrong[:, :0]).tolist() == [True, True]
    mixed = torch.where(torch.tensor([[True], [False]]), wrong, -1)
    assert accuracy(logits, right, mixed).tolist() == [True, False], (
        "a prompt without wrong answers isn't right for that"
    )


def test_mistakes_are_told() -> None:
    with pytest.raises(ACDCError, match="did you mean 'logit_diff'"):
        get_metric("logitdiff")
    with pytest.raises(TaskError, match="needs wrong answers, and task 'toy' lists none"):
        Objective(METRICS["logit_diff"], batch(WRONG[:, :0]), REFERENCE)


@pytest.mark.parametrize("name", METRICS)
def test_the_loss_is_lower_where_the_metric_is_better(name: str) -> None:
    metric = METRICS[name]
    assert metric.loss(0.5) == -0.5 * metric.sign and metric.loss(metric.loss(0.5)) == 0.5
    assert (metric.loss(1.0) < metric.loss(0.0)) == metric.higher_is_better
