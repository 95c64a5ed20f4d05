"""Every method runs with every metric in every dtype, or says why it can't."""

import functools

import pytest
import torch

from acdc.discovery import METHODS
from acdc.errors import RunError
from acdc.metrics import METRICS
from acdc.patching.problem import Problem
from tests.cases import covering
from tests.tiny import tiny_batch, tiny_model

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
OPTIONS = {
    "acdc": {"tau": 0.05},
    "hap": {"tau": 1e-5, "faithfulness": 0.5},
    "edge-pruning": {"steps": 2},
    "subnetwork-probing": {"steps": 2},
}


@functools.cache
def problem_of(metric: str, dtype: torch.dtype) -> Problem:
    return Problem.make(tiny_model("gpt2", dtype=dtype), tiny_batch(n=2), metric=metric, seed=3)


@pytest.mark.parametrize(("name", "metric", "dtype"), covering(METHODS, METRICS, DTYPES))
def test_every_method_runs_with_every_metric_in_every_dtype(name: str, metric: str, dtype: torch.dtype) -> None:
    method, problem = METHODS[name], problem_of(metric, dtype)
    graph, options = problem.model.graph, OPTIONS.get(name, {"n_edges": 5})
    if method.at_clean and METRICS[metric].flat_at_clean:
        with pytest.raises(RunError, match=r"takes gradients at the clean run, where metric 'kl' is flat"):
            method.search(problem, **options)
        return
    found = method.search(problem, **options)
    graph.check_mask(found.mask)
    assert found.scores.dtype == torch.float64
    assert bool(torch.isfinite(found.scores[graph.edges_mask & ~found.scores.isnan()]).all())
    assert bool((found.scores[graph.edges_mask].nan_to_num(0) != 0).any())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_metrics_of_narrow_logits_are_those_of_the_same_logits_in_float64(metric: str, dtype: torch.dtype) -> None:
    """What is rounded is the logits; the metric adds nothing to it."""
    problem = problem_of(metric, dtype)
    batch, logits = problem.batch, problem.logits(problem.model.graph.edges_mask & False)
    function, clean = METRICS[metric].function, problem.clean.logits
    narrow = function(logits, batch.correct, batch.wrong, clean)
    exact = function(logits.double(), batch.correct, batch.wrong, clean.double())
    torch.testing.assert_close(narrow.double(), exact, rtol=1e-5, atol=1e-6)
