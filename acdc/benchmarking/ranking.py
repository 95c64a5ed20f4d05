"""Every method as a ranking of the edges, beside the circuit that it chooses by its own defaults."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.discovery import DiscoveryResult, Method
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["THRESHOLDS", "Ranked", "rank"]

THRESHOLDS = tuple(10 ** (exponent / 2) for exponent in range(-10, 4))  # 1e-5 to 30, two to a power of ten


@dataclass(frozen=True)
class Ranked:
    """What a method says of the edges.

    Attributes:
        values: Higher: more certainly in the circuit; NaN where the method says nothing.
        mask: The circuit that it chooses.
        cost: What that took; `ranking_cost`: what the ranking took besides.
        seconds, ranking_seconds: The same in time.
    """

    values: Float[Tensor, "src dst"]
    mask: Bool[Tensor, "src dst"]
    cost: Mapping[str, int | float]
    ranking_cost: Mapping[str, int | float]
    seconds: float
    ranking_seconds: float


def rank(
    method: Method,
    problem: Problem,
    *,
    options: Mapping[str, Any] = MappingProxyType({}),
    signed: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Ranked:
    """Run a method, and rank the edges by it.

    A method with a threshold is run at every one of a grid as well, and an edge ranks by the largest at which it is
    kept (0 where it never is): the circuits at falling thresholds are the points of the ROC curve, each joined with
    those of larger ones, since they need not be nested. Any other method's edges rank by the size of their score.

    Args:
        options: The method's, where they aren't its defaults.
        signed: Rank by the score itself: an edge whose removal helps comes last.

    Raises:
        RunError: The method can't work on this problem.
    """
    start = time.monotonic()
    found = method.search(problem, progress=progress, **options)
    seconds = time.monotonic() - start
    if method.threshold is not None:
        values, cost = _by_threshold(method, method.threshold, problem, options, progress)
    else:
        values, cost = (found.scores if signed else found.scores.abs()), dict[str, int | float]()
    ranking_seconds = time.monotonic() - start - seconds if cost else 0.0
    return Ranked(values.cpu().double(), found.mask.cpu(), found.cost, cost, seconds, ranking_seconds)


def _by_threshold(
    method: Method,
    option: str,
    problem: Problem,
    options: Mapping[str, Any],
    progress: Callable[[Progress], None] | None,
) -> tuple[Float[Tensor, "src dst"], dict[str, int | float]]:
    """The largest threshold at which each edge is kept, and what all the runs cost."""
    graph = problem.graph
    values, cost = torch.zeros(graph.n_src, graph.n_dst, dtype=torch.float64), dict[str, int | float]()
    for threshold in THRESHOLDS:
        found: DiscoveryResult = method.search(problem, progress=progress, **{**options, option: threshold})
        values[found.mask.cpu()] = threshold  # they rise, so the last one to keep an edge stays
        for key, amount in found.cost.items():
            cost[key] = cost.get(key, 0) + amount
    return values, cost
