"""Random scores: a baseline that knows nothing of the model or the task."""

import math
from collections.abc import Callable

import torch

from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "random_scores"]


def random_scores(problem: Problem, *, progress: Callable[[Progress], None] | None = None) -> EdgeScores:
    """Score every edge by a number drawn evenly from 0 to 1; the run's seed decides."""
    graph = problem.graph
    generator = torch.Generator().manual_seed(problem.seed)
    scores = torch.rand(graph.n_src, graph.n_dst, generator=generator, dtype=torch.float64)
    cost = {"forward_passes": 0, "backward_passes": 0}
    return EdgeScores(scores.masked_fill(~graph.edges_mask, math.nan), "none", cost)


METHOD = Method("random", "scores that are drawn", "no paper", Scored(random_scores), baseline=True)
