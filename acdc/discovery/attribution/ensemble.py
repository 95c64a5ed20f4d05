"""Scores made of other scorers': the mean of several, and a shuffled control."""

from collections.abc import Callable, Mapping
from typing import Annotated

import torch

from acdc.discovery.attribution.controls import shuffled
from acdc.discovery.attribution.scores import EdgeScores
from acdc.errors import RunError, printable, unknown_name
from acdc.patching.problem import Problem
from acdc.progress import Progress
from acdc.ranges import Checked

__all__ = ["Scorer", "degree_matched_of", "ensemble_of"]

Scorer = Callable[..., EdgeScores]


def ensemble_of(scorers: Mapping[str, Scorer]) -> Scorer:
    """The scorer that takes the mean of some of `scorers`."""

    def named(members: str) -> list[str]:
        """The members' names."""
        names = [name.strip() for name in members.split(",") if name.strip()]
        if len(names) < 2:
            raise RunError(f"an ensemble needs at least two scorers joined by commas, not {printable(members, 60)!r}")
        for name in names:
            _check_scorer(name, scorers)
        return names

    def ensemble(
        problem: Problem,
        *,
        members: Annotated[str, Checked(named)] = "eap,eap-ig-inputs,eap-ig-activations",
        progress: Callable[[Progress], None] | None = None,
    ) -> EdgeScores:
        """Score every edge by the mean of several scorers' scores, each in units of its own standard deviation.

        Scores are divided, not centred, so that 0 stays 0 and the sign keeps its meaning. It is most useful where its
        members fail in different ways (Mondorf et al. 2025, arXiv 2510.06811).

        Args:
            members: Names of scorers with their default options, joined by commas.

        Raises:
            UnknownNameError: A member is no scorer.
        """
        found = [scorers[name](problem, progress=progress) for name in named(members)]
        edges = problem.model.graph.edges_mask
        scores = torch.stack([each.scores / each.scores[edges].std().clamp_min(1e-300) for each in found]).mean(0)
        keys = ("forward_passes", "backward_passes")
        return EdgeScores(scores, "importance", {key: sum(each.cost[key] for each in found) for key in keys})

    return ensemble


def degree_matched_of(scorers: Mapping[str, Scorer]) -> Scorer:
    """The control that shuffles the scores of one of `scorers`."""

    def degree_matched(
        problem: Problem,
        *,
        of: Annotated[str, Checked(lambda name: _check_scorer(name, scorers))] = "eap",
        progress: Callable[[Progress], None] | None = None,
    ) -> EdgeScores:
        """Shuffle a scorer's scores among edges of the same kinds and layers of source and destination, as a control.

        Args:
            of: The scorer, with its default options.

        Raises:
            UnknownNameError: There is no such scorer.
        """
        _check_scorer(of, scorers)
        found = scorers[of](problem, progress=progress)
        return EdgeScores(shuffled(problem.model.graph, found.scores, seed=problem.seed), "none", found.cost)

    return degree_matched


def _check_scorer(name: str, scorers: Mapping[str, Scorer]) -> None:
    if name not in scorers:
        raise unknown_name("scorer", name, scorers)
