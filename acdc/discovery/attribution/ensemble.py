"""An ensemble: the mean of several scorers' scores, each in units of its own standard deviation.

Scores are divided, not centred, so that 0 stays 0 and the sign keeps its meaning. It is most useful where its members
fail in different ways.

Reference: Mondorf et al. 2025 (arXiv 2510.06811).
"""

from collections.abc import Callable
from typing import Annotated

import torch

from acdc.discovery.attribution.scorers import get_scorer
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.errors import RunError, printable
from acdc.options.ranges import Checked
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "ensemble"]


def _names(members: str) -> list[str]:
    """The members' names."""
    names = [name.strip() for name in members.split(",") if name.strip()]
    if len(names) < 2:
        raise RunError(f"an ensemble needs at least two scorers joined by commas, not {printable(members, 60)!r}")
    for name in names:
        get_scorer(name)
    return names


def ensemble(
    problem: Problem,
    *,
    members: Annotated[str, Checked(_names)] = "eap,eap-ig-inputs,eap-ig-activations",
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every edge by the mean of several scorers' scores, each in units of its own standard deviation.

    Args:
        members: Names of scorers with their default options, joined by commas.

    Raises:
        UnknownNameError: A member isn't a scorer.
    """
    found = [get_scorer(name)(problem, progress=progress) for name in _names(members)]
    edges = problem.graph.edges_mask
    scores = torch.stack([each.scores / each.scores[edges].std().clamp_min(1e-300) for each in found]).mean(0)
    keys = ("forward_passes", "backward_passes")
    return EdgeScores(scores, "importance", {key: sum(each.cost[key] for each in found) for key in keys})


METHOD = Method("ensemble", "the mean of several scorers", "Mondorf et al. 2025", Scored(ensemble), at_clean=True)
