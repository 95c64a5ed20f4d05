"""One problem and its scores, and what is selected from them."""

import functools

import torch

from acdc.discovery.attribution.eap import eap
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.selection.select import select
from acdc.patching.problem import Problem
from tests.tiny import tiny_batch, tiny_model


@functools.cache
def problem_of(metric: str = "logit_diff") -> Problem:
    return Problem.make(tiny_model("gpt2"), tiny_batch(), metric=metric, seed=3)


@functools.cache
def found() -> EdgeScores:
    return eap(problem_of(), n_groups=4)


def chosen(**options):
    return select(problem_of(), found(), **options)


def prefix(order: torch.Tensor, n: int) -> torch.Tensor:
    graph = problem_of().model.graph
    mask = torch.zeros(graph.n_src * graph.n_dst, dtype=torch.bool)
    mask[order[:n]] = True
    return mask.view(graph.n_src, graph.n_dst)
