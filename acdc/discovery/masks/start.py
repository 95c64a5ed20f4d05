"""Where learned gates start: all open alike, or, from scores, the more probably open the higher an edge or node ranks.

    p_i = sigmoid((rank_i - b) / tau)        rank_i from 0 (the smallest score) to 1 (the largest)

`p_i` is the probability that gate i isn't 0, and b makes their mean `1 - sparsity`. So most gates start closed, none
surely so, and a training needs fewer steps and cheaper ones.

Reference: the warm start of the 2025 MIB shared task's hybrid of EAP-IG and edge pruning (arXiv 2510.06811); its code
takes the ranks within each layer, and p_i as a gate's mean.
"""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float64
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.discovery.attribution.scorers import get_scorer
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.masks.hard_concrete import BETA, LEFT, RIGHT
from acdc.errors import RunError, printable
from acdc.options.ranges import Checked
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["COLD", "START_SPARSITY", "Start", "starting_log_odds", "starting_scores", "with_cost_of"]

COLD = "none"  # no scores: all gates start alike
OPEN = 3.0  # their log odds then: a gate is exactly 1 three times out of four
START_SPARSITY = 0.9
TAU = 0.2  # how gradually the probability rises with the rank
MOST_LOG_ODDS = 10.0  # that the best or the worst starts with, so that none is beyond learning
HALVINGS = 60  # of the interval in which b lies


def _check(start: str) -> None:
    """Raises an error where it is neither a scorer's name nor a place where something lies."""
    if start == COLD or _place(start) is not None:
        return
    if os.sep in start or Path(start).suffix:
        raise RunError(f"start: there is no run or circuit at {printable(start, 100)}, and no scorer of that name")
    get_scorer(start)


def _place(start: str) -> Path | None:
    """The file or folder, if there is one."""
    path = os.path.expanduser(start)  # unlike pathlib's these take any text
    return Path(path) if os.path.exists(path) else None


Start = Annotated[str, Checked(_check)]


def starting_scores(
    problem: Problem, start: str, progress: Callable[[Progress], None] | None = None
) -> EdgeScores | None:
    """The scores that gates start from; None where they start all alike.

    Raises:
        UnknownNameError: There is no such scorer.
        CircuitError: There is no circuit of this model at that place.
        RunError: It has no scores, or the scorer can't work on this problem.
    """
    if start == COLD:
        return None
    place = _place(start)
    if place is None:
        return get_scorer(start)(problem, progress=progress)
    circuit = Circuit.load(place / "circuit.json" if place.is_dir() else place, problem.graph)
    if circuit.scores is None or circuit.score_kind is None:
        raise RunError(f"start: the circuit at {start} has no scores to rank its edges by; name a scorer instead")
    return EdgeScores(circuit.scores, circuit.score_kind, {"forward_passes": 0, "backward_passes": 0})


def starting_log_odds(n: int, sizes: Float64[Tensor, " ranked"] | None, sparsity: float) -> Float64[Tensor, " gates"]:
    """Where n gates start.

    Args:
        sizes: The larger, the more probably is a gate open at the start, of the first gates; the rest, and all if None,
            start alike. NaN counts as 0, and equals rank alike.
        sparsity: The mean probability of the ranked gates to be closed.
    """
    found = torch.full((n,), OPEN, dtype=torch.float64)
    if sizes is not None:
        found[: len(sizes)] = _log_odds(_ranks(sizes), sparsity) + BETA * math.log(-LEFT / RIGHT)
    return found


def with_cost_of(scores: EdgeScores | None, cost: Mapping[str, int | float]) -> dict[str, int | float]:
    """A training's cost, with that of the scores that it started from."""
    if scores is None:
        return dict(cost)
    return {name: amount + (0 if name == "steps" else scores.cost.get(name, 0)) for name, amount in cost.items()}


def _ranks(sizes: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """From 0 to 1; the mean rank for equals."""
    _, place, counts = sizes.nan_to_num(0.0).unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double() - 1
    return (last - (counts - 1) / 2)[place] / max(1, len(sizes) - 1)


def _log_odds(ranks: Float64[Tensor, " n"], sparsity: float) -> Float64[Tensor, " n"]:
    """Log odds that rise with the rank; the probabilities' mean is `1 - sparsity`."""
    low, high = -MOST_LOG_ODDS * TAU, 1 + MOST_LOG_ODDS * TAU
    for _ in range(HALVINGS):
        b = (low + high) / 2
        low, high = (b, high) if float(torch.sigmoid((ranks - b) / TAU).mean()) > 1 - sparsity else (low, b)
    return (ranks - b) / TAU
