"""Values, intervals and worst prompts."""

import numpy as np
import pytest
import torch

from acdc.evaluation import (
    faithfulness_interval,
    headline,
    mean_interval,
    measure,
    prompt_values,
    share_interval,
    worst_prompts,
)
from acdc.evaluation.values import loss_of, normalised, outcomes_of, performance_metric
from acdc.metrics import METRICS
from tests.evaluation.ground import naive_loss, naive_values, problem_of, random_circuit


@pytest.mark.parametrize("metric", METRICS)
def test_values_are_those_of_the_oracle(metric: str) -> None:
    problem = problem_of("llama-gqa", metric)
    mask = random_circuit(problem)
    expected = naive_values(problem, mask)
    assert torch.allclose(torch.tensor(prompt_values(problem, problem.logits(mask))[metric]), expected, atol=1e-9)
    assert loss_of(problem, mask) == pytest.approx(naive_loss(problem, mask), abs=1e-9)


def test_the_four_graphs_are_what_they_are_called() -> None:
    problem = problem_of()
    full, empty = problem.model.graph.edges_mask, torch.zeros_like(problem.model.graph.edges_mask)
    whole, none = outcomes_of(problem, full).values["logit_diff"], outcomes_of(problem, empty).values["logit_diff"]
    np.testing.assert_allclose(whole["circuit"], whole["model"], atol=1e-10)
    np.testing.assert_allclose(whole["complement"], whole["corrupted"], atol=1e-10)
    np.testing.assert_allclose(none["circuit"], none["corrupted"], atol=1e-10)
    np.testing.assert_allclose(none["complement"], none["model"], atol=1e-10), "the empty circuit's complement is all"


@pytest.mark.parametrize("metric", METRICS)
def test_the_whole_model_has_faithfulness_1_and_the_empty_circuit_0(metric: str) -> None:
    problem = problem_of(metric=metric)
    full = problem.model.graph.edges_mask
    for mask, expected in ((full, 1), (torch.zeros_like(full), 0)):
        found = headline(outcomes_of(problem, mask), resamples=50)["faithfulness"][metric]
        assert found.value == pytest.approx(expected, abs=1e-9)
        assert found.low == pytest.approx(expected, abs=1e-9) and found.high == pytest.approx(expected, abs=1e-9)


def test_headline_agrees_with_measure() -> None:
    problem = problem_of("llama-gqa", "logit_diff")
    mask = random_circuit(problem)
    found, expected = headline(outcomes_of(problem, mask), resamples=50), measure(problem, mask)
    assert found["faithfulness"]["logit_diff"].value == pytest.approx(expected["faithfulness"], abs=1e-9)
    for name in ("kl", "nll", "accuracy"):
        assert found[name]["circuit"].value == pytest.approx(expected[name]["circuit"], abs=1e-9)
        assert found[name]["circuit"].n_prompts == problem.batch.n


def test_faithfulness_of_no_span_is_undefined() -> None:
    same = np.array([1.0, 2.0, 3.0])
    assert normalised(1.0, 2.0, 2.0) is None
    assert faithfulness_interval(same, same, same).value is None


def test_kl_is_replaced_by_a_metric_that_can_be_won() -> None:
    assert performance_metric(problem_of(metric="kl")).name == "logit_diff"
    assert performance_metric(problem_of(metric="nll")).name == "nll"


def test_the_worst_prompt_is_the_furthest_from_the_model() -> None:
    problem = problem_of(metric="logit_diff")
    found = outcomes_of(problem, random_circuit(problem))
    distance = np.abs(found.values["logit_diff"]["circuit"] - found.values["logit_diff"]["model"])
    worst = worst_prompts(problem, found, k=3)
    assert [each.index for each in worst] == np.argsort(-distance)[:3].tolist()
    ids = problem.batch.clean[worst[0].index][problem.batch.attention[worst[0].index]]
    assert worst[0].clean == " ".join(map(str, ids.tolist())), "without padding"
    assert worst[0].distance == pytest.approx(distance.max())


def coverage(draw, truth: float, trials: int = 200) -> float:
    hits = 0
    for trial in range(trials):
        found = draw(np.random.default_rng(trial))
        hits += found.low <= truth <= found.high
    return hits / trials


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """The ratio's numerator and denominator are correlated, as circuit and model are; values are skewed."""

    def ratio(rng: np.random.Generator):
        corrupted = rng.normal(0, 0.5, 60)
        model = corrupted + rng.gamma(4, 0.5, 60)
        circuit = corrupted + 0.8 * (model - corrupted) + rng.normal(0, 0.3, 60)
        return faithfulness_interval(circuit, model, corrupted, level=0.9, resamples=300)

    assert 0.84 < coverage(ratio, 0.8) < 0.96
    mean = coverage(lambda rng: mean_interval(rng.gamma(2, 1, 60), level=0.9, resamples=300), 2.0)
    assert 0.84 < mean < 0.96
    share = coverage(lambda rng: share_interval((rng.random(60) < 0.9).astype(float), level=0.9), 0.9)
    assert 0.84 < share < 0.97


def test_resampling_jointly_is_narrower_than_apart() -> None:
    """A law of the ratio: what circuit and model share cancels."""
    rng = np.random.default_rng(0)
    model = rng.normal(5, 2, 80)
    together = faithfulness_interval(0.9 * model, model, np.zeros(80))
    assert together.value == pytest.approx(0.9) and together.high - together.low < 1e-9
    apart = faithfulness_interval(0.9 * rng.permutation(model), model, np.zeros(80))
    assert apart.high - apart.low > 0.1


def test_intervals_are_deterministic_under_a_seed() -> None:
    values = np.random.default_rng(0).normal(size=30)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_a_share_of_all_prompts_still_has_a_width() -> None:
    found = share_interval(np.ones(50))
    assert found.value == 1 and 0.9 < found.low < 0.95
