"""Answers of several tokens: their rows, and their log probabilities against plain Hugging Face's."""

import dataclasses

import pytest
import torch

from acdc.discovery import get_method
from acdc.errors import TaskError
from acdc.evaluation import prompt_values
from acdc.evaluation.whole_answers import first_rows
from acdc.metrics import METRICS
from acdc.models import PatchableModel
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch, PromptPair
from acdc.prompts.teacher_forcing import forced_rows
from tests.configs import ONE_EACH
from tests.oracle import naive_logits
from tests.tiny import KeepDouble, NumberTokenizer, tiny_model

PAIRS = [
    PromptPair([1, 2, 3], [1, 2, 9], [[4, 5, 6]], [[4, 7]]),  # both begin with 4
    PromptPair([8, 2, 3, 5], [8, 9, 3, 5], [[6, 1]], [[7, 2, 3]]),
    PromptPair([5, 6], [5, 7], ["1"], ["2"]),
    PromptPair([5, 6, 2], [5, 7, 2], ["1 2 3"]),
]


def batch_of(pairs: list[PromptPair] = PAIRS) -> PromptBatch:
    return PromptBatch.from_pairs(pairs, NumberTokenizer(), answers="whole")


def log_p(model: PatchableModel, prompt: list[int], answer: list[int]) -> float:
    """By plain Hugging Face, in one run over prompt and answer."""
    logs = model.hf(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return sum(float(logs[len(prompt) + i - 1, token]) for i, token in enumerate(answer))


def by_hand(model: PatchableModel) -> list[float]:
    return [
        log_p(model, [1, 2, 3], [4, 5, 6]) - log_p(model, [1, 2, 3], [4, 7]),
        log_p(model, [8, 2, 3, 5], [6, 1]) - log_p(model, [8, 2, 3, 5], [7, 2, 3]),
        log_p(model, [5, 6], [1]) - log_p(model, [5, 6], [2]),
        log_p(model, [5, 6, 2], [1, 2, 3]),
    ]


def test_each_token_is_asked_for_after_the_prompt_and_the_answer_so_far() -> None:
    batch = batch_of()
    rows = [batch.clean[i, -int(length) :].tolist() for i, length in enumerate(batch.lengths)]
    assert rows == [
        *([1, 2, 3, 4], [1, 2, 3, 4, 5]),
        *([8, 2, 3, 5], [8, 2, 3, 5, 6], [8, 2, 3, 5, 7], [8, 2, 3, 5, 7, 2]),
        [5, 6],
        *([5, 6, 2], [5, 6, 2, 1], [5, 6, 2, 1, 2]),
    ]
    assert batch.correct[:, 0].tolist() == [5, 6, 6, 1, -1, -1, 1, 1, 2, 3]
    assert batch.wrong[:, 0].tolist() == [7, -1, 7, -1, 2, 3, 2, -1, -1, -1]
    assert batch.pair_ids is not None and batch.pair_ids.tolist() == [0, 0, 1, 1, 1, 1, 2, 3, 3, 3]
    assert (batch.n, batch.n_pairs, first_rows(batch)) == (10, 4, [0, 2, 6, 7])


@pytest.mark.parametrize("family", ONE_EACH)
def test_values_are_the_log_probabilities_of_whole_answers_by_hugging_face(family: str) -> None:
    with KeepDouble():
        model = tiny_model(family)
        problem = Problem.make(model, batch_of(), metric="answer_logprob")
        found, expected = prompt_values(problem, problem.clean.logits), by_hand(model)
    assert found["answer_logprob"] == pytest.approx(expected, rel=1e-10, abs=1e-10)
    assert problem.model_loss == pytest.approx(-sum(expected) / 4, rel=1e-10, abs=1e-10)
    assert found["accuracy"][:3].tolist() == [value > 0 for value in expected[:3]]
    assert found["p_wrong"][3] == 0 and "logit_diff" not in found


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem.make(tiny_model("gpt2"), batch_of(), metric="answer_logprob")


def naive_loss(problem: Problem, mask: torch.Tensor) -> float:
    """Minus the mean over pairs of what their rows sum to, by the oracle's logits."""
    batch = problem.batch
    logs = naive_logits(problem.model, batch, problem.ablated.outputs, mask).log_softmax(-1)
    total = 0.0
    for row in range(batch.n):
        for ids, sign in ((batch.correct[row].tolist(), 1), (batch.wrong[row].tolist(), -1)):
            total += sum(sign * float(logs[row, token]) for token in ids if token >= 0)
    return -total / 4


def test_the_exact_engine_equals_the_oracle(problem: Problem) -> None:
    graph, state = problem.model.graph, CircuitState(problem)
    edges = [(int(i), int(j)) for i, j in graph.edges_mask.nonzero().tolist()]
    losses = state.losses(edges[::7])
    for k, (i, j) in enumerate(edges[::7]):
        mask = graph.edges_mask.clone()
        mask[i, j] = False
        assert float(losses[k]) == pytest.approx(naive_loss(problem, mask), rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("method", ["acdc", "eap", "eap-ig-inputs", "exact"])
def test_searches_measure_pairs_and_any_grouping_of_rows_agrees(problem: Problem, method: str) -> None:
    found = get_method(method).search(problem)
    assert problem.loss(problem.logits(found.mask)) == pytest.approx(naive_loss(problem, found.mask), rel=1e-8)


def test_a_gradient_is_that_of_the_mean_over_pairs(problem: Problem) -> None:
    """EAP's score of an edge is (ablated - clean) times the loss's gradient: along all edges it is a derivative."""
    scores = get_method("eap").search(problem).scores
    assert scores is not None
    graph, step = problem.model.graph, 1e-4
    outputs, clean = problem.ablated.outputs, problem.clean.outputs
    j = graph.dst_index["logits"]
    total = float(scores[:, j].nan_to_num().sum())
    change = (outputs.input - clean.input) + sum(a - c for a, c in zip(outputs.mlp, clean.mlp, strict=True))
    for block, a, c in zip(problem.model.components.blocks, outputs.z, clean.z, strict=True):
        change = change + torch.einsum("hbpd,hdm->bpm", a - c, block.attention.W_O)

    def loss(share: float) -> float:
        return problem.loss(problem.model.unembed((problem.clean.final + share * change)[:, -1]))

    assert abs(total) == pytest.approx(abs(loss(step) - loss(-step)) / (2 * step), rel=1e-5)


def test_of_answers_of_one_token_it_is_the_logit_difference() -> None:
    pairs = [PromptPair([1, 2], [1, 3], ["4"], ["5"]), PromptPair([2, 2], [2, 3], ["4", "6"], ["5"])]
    batch = batch_of(pairs)
    assert batch.pair_ids is None
    logits = torch.randn(2, 12, dtype=torch.float64)
    one, other = (
        METRICS[name].function(logits, batch.correct, batch.wrong, logits) for name in ("answer_logprob", "logit_diff")
    )
    assert torch.allclose(one, other, atol=1e-12)


def test_pairs_are_selected_whole_and_drawn_again_as_others() -> None:
    batch = batch_of()
    drawn = batch.select_pairs([1, 3, 1])
    assert drawn.pair_ids is not None and drawn.pair_ids.tolist() == [0] * 4 + [1] * 3 + [2] * 4
    assert drawn.n_pairs == 3 and drawn.n_shared(batch) == 3
    assert batch.n_shared(batch) == 4
    changed = dataclasses.replace(batch, pair_ids=batch.pair_ids.flip(0))  # type: ignore[union-attr]
    assert changed.fingerprint != batch.fingerprint


def test_first_tokens_and_refusals() -> None:
    first = PromptBatch.from_pairs(PAIRS[1:], NumberTokenizer(), answers="first")
    assert first.pair_ids is None and first.correct[:, 0].tolist() == [6, 1, 1]
    with pytest.raises(TaskError, match=r"not a single token.*whole answer \(answers='whole', --whole-answer\)"):
        PromptBatch.from_pairs(PAIRS, NumberTokenizer())
    with pytest.raises(TaskError, match="listed both as correct and as wrong"):
        PromptBatch.from_pairs(PAIRS[:1], NumberTokenizer(), answers="first")
    for metric in ("logit_diff", "prob_diff", "nll"):
        with pytest.raises(TaskError, match="use answer_logprob or kl"):
            Problem.make(tiny_model("gpt2"), batch_of(), metric=metric)
    with pytest.raises(TaskError, match="give one right answer and at most one wrong one, not 2 and 0"):
        forced_rows([[1, 2], [3]], [], "pair 0")
    with pytest.raises(TaskError, match="one answer begins with the other"):
        forced_rows([[1, 2]], [[1, 2, 3]], "pair 0")
    spans = dataclasses.replace(PAIRS[0], spans={"x": 1})
    with pytest.raises(TaskError, match="leave spans out"):
        batch_of([spans])
