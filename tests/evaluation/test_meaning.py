"""When a faithfulness means something, what is said where it doesn't, and what the predictions are."""

import numpy as np
import pytest
import torch
from scipy import stats

from acdc.evaluation import measure
from acdc.evaluation.confidence import faithfulness_interval, mean_interval
from acdc.evaluation.held_out import prompts_text
from acdc.evaluation.meaning import cautions, difference, no_meaning, shown_ratio
from acdc.evaluation.parts.sufficiency import MOST_SHARED, sufficiency_test
from acdc.evaluation.predictions import prediction_lines
from acdc.evaluation.values import Outcomes
from acdc.metrics import get_metric
from tests.evaluation.ground import problem_of, random_circuit

EXACT = {"rounding": 1e-10}


def normal(mean: float, n: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, n)


def test_the_interval_of_a_difference_is_student_s() -> None:
    a, b = normal(1.0), normal(0.0, seed=1)
    found, theirs = difference(a, b), stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx(((a - b).mean(), theirs.low, theirs.high))
    assert difference(a[:1], b[:1]).low is None


def test_a_ratio_has_a_meaning_only_over_a_span_that_is_not_noise() -> None:
    model, same = normal(3.0), normal(3.0, seed=1)
    assert no_meaning(model, normal(0.0, seed=2), **EXACT) is None
    assert "may be 0" in (no_meaning(model, same, **EXACT) or "")
    assert "rounding" in (no_meaning(model, model + 1e-12, **EXACT) or "")
    assert no_meaning(model, model + 1e-12, rounding=1e-14) is None, "all prompts agree on it: it is no noise"
    assert "rounding" in (no_meaning(model, model + 1e-6, rounding=1e-5) or "")
    assert "not finite" in (no_meaning(model, same * np.inf, **EXACT) or "")


def test_a_ratio_of_noise_is_marked_in_text_and_in_its_interval() -> None:
    model, same = normal(3.0), normal(3.0, seed=1)
    found = faithfulness_interval(normal(2.9, seed=2), model, same)
    assert found.no_meaning is not None and found.value is not None
    assert shown_ratio(found.value, found.no_meaning).startswith(f"{found.value:.3g} (no meaning: model and corrupted")
    assert faithfulness_interval(model, model, normal(0.0)).no_meaning is None
    assert shown_ratio(0.5, None) == "0.5" and shown_ratio(None, None) == "undefined"


def outcomes(
    model: np.ndarray,
    corrupted: np.ndarray,
    accuracy: tuple[float, float],
    top1: tuple[float, float] = (0.0, 0.0),
    p: float = 0.5,
) -> Outcomes:
    n = len(model)
    values = {"logit_diff": {"model": model, "corrupted": corrupted}}
    chosen = {"accuracy": accuracy, "top1_accuracy": top1, "p_correct": (p, p), "p_wrong": (0.0, 0.0)}
    for name, shares in chosen.items():
        values[name] = {
            who: np.full(n, share) if name.startswith("p_") else (np.arange(n) < share * n).astype(float)
            for who, share in zip(("model", "corrupted"), shares, strict=True)
        }
    return Outcomes(values, (), "logit_diff", get_metric("logit_diff"), 1e-10, n, 2)


def test_what_makes_a_model_doubtful_is_said() -> None:
    good, bad = normal(3.0), normal(0.0, seed=1)
    assert cautions(outcomes(good, bad, (1.0, 0.4))) == ()
    (one,) = cautions(outcomes(good, bad, (0.45, 0.45)))
    assert "isn't clearly better" in one and "accuracy 0.45 against 0.45" in one and "logit_diff" not in one
    assert "top-1 accuracy 0 against 0" in one
    assert cautions(outcomes(good, bad, (1.0, 0.9), top1=(0.9, 0.1))) == (), "one of the two accuracies is enough"
    worse = cautions(outcomes(bad, good, (0.1, 1.0)))
    assert "logit_diff" in worse[0], "a model that is clearly worse isn't better"
    noise = cautions(outcomes(good, normal(3.0, seed=2), (1.0, 0.4)))
    assert len(noise) == 2 and "faithfulness by logit_diff has no meaning" in noise[1]
    (little,) = cautions(outcomes(good, bad, (1.0, 0.4), p=0.003))
    assert "0.003 of the model's probability" in little


def test_accuracy_at_the_top_and_probability_of_the_answers_by_hand() -> None:
    problem = problem_of(metric="logit_diff")
    mask, batch = random_circuit(problem), problem.batch
    found = measure(problem, mask)
    for who, logits in (("model", problem.clean.logits), ("circuit", problem.logits(mask))):
        p = logits.double().softmax(-1)
        best = p.argmax(-1)
        right = [int(best[i]) in batch.correct[i].tolist() for i in range(batch.n)]
        total = [sum(float(p[i, t]) for t in batch.correct[i].tolist() if t >= 0) for i in range(batch.n)]
        assert found["top1_accuracy"][who] == pytest.approx(np.mean(right))
        assert found["p_correct"][who] == pytest.approx(np.mean(total))
        first = found["predictions"][0]["top"][who]
        assert [each["p"] for each in first] == pytest.approx(p[0].sort(descending=True).values[:5].tolist())
        assert first[0]["token"] == problem.model.tokenizer.decode([int(best[0])])


def test_bootstrap_intervals_of_few_prompts_say_that_they_cover_too_little() -> None:
    assert mean_interval(normal(0.0, 49)).under_covers and not mean_interval(normal(0.0, 50)).under_covers


def test_prompts_are_held_out_as_far_as_the_search_did_not_see_them() -> None:
    assert prompts_text(12, 3) == "12 prompts, 3 of them seen in the search"
    assert "not known" in prompts_text(12, None)


def test_random_circuits_that_are_nearly_the_circuit_give_no_verdict() -> None:
    problem = problem_of()
    graph = problem.model.graph
    dense = sufficiency_test(problem, graph.edges_mask, matched="degree", n_random=4, alpha=1.0)
    assert dense.overlap == 1 and dense.sufficient is None, "swaps of the whole model change nothing"
    sparse = graph.mask_of(["input->a0.h1<v>", "a0.h1->m1", "m1->logits"])
    found = sufficiency_test(problem, sparse, n_random=8, alpha=1.0)
    assert found.overlap <= MOST_SHARED and found.sufficient is True
    assert sufficiency_test(problem, torch.zeros_like(sparse), n_random=2).overlap == 0


def test_a_probability_that_a_file_has_as_null_is_undefined() -> None:
    found = {"prompt": "a", "correct": [" b"], "wrong": [], "top": {"model": [{"token": " b", "p": None}]}}
    assert ("  model predicts", "' b' undefined") in list(prediction_lines(found))
