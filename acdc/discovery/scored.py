"""A discovery method from a scorer: score every edge, then choose a circuit by the scores."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Checkpoint, DiscoveryResult
from acdc.discovery.select import select
from acdc.errors import RunError
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["scored"]

MOST_GROUPS = 20  # of prompts, to resample from
FILTER = ("resamples", "agreement")


def scored(scorer: Callable[..., EdgeScores]) -> Callable[..., DiscoveryResult]:
    """The search that scores by `scorer` and selects by `select`; it takes the options of both.

    Of a scorer that can't part its scores by prompts, prompts can't be resampled, and there are no such options.
    """
    own, theirs = _parameters(scorer), _parameters(select)
    in_groups = own.pop("n_groups", None) is not None
    takes_checkpoint = "checkpoint" in inspect.signature(scorer).parameters
    theirs = {name: p for name, p in theirs.items() if in_groups or name not in FILTER}

    def search(
        problem: Problem,
        *,
        checkpoint: Checkpoint | None = None,
        progress: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> DiscoveryResult:
        selection = {name: options.pop(name) for name in theirs if name in options}
        if takes_checkpoint:
            options["checkpoint"] = checkpoint
        if in_groups and selection.get("resamples"):
            if problem.batch.n < 2:
                raise RunError("resamples needs at least two prompts")
            options["n_groups"] = min(problem.batch.n, MOST_GROUPS)
        found = scorer(problem, progress=progress, **options)
        chosen = select(problem, found, progress=progress, **selection)
        passes = found.cost["forward_passes"] + chosen.forward_passes
        return DiscoveryResult(
            mask=chosen.mask,
            scores=found.scores,
            score_kind=found.kind,
            cost={**found.cost, "forward_passes": passes},
            diagnostics={**found.diagnostics, **chosen.diagnostics},
            warnings=chosen.warnings,
            resolved=chosen.resolved,
        )

    search.__doc__ = f"{_summary(scorer)}\n\nArgs:\n{_arguments(scorer)}\n{_arguments(select)}\n"
    whole = inspect.signature(search)
    named = [p for p in whole.parameters.values() if p.kind is not p.VAR_KEYWORD]
    setattr(search, "__signature__", whole.replace(parameters=[*named, *own.values(), *theirs.values()]))  # noqa: B010
    return search


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options of a scorer or of the selection."""
    parameters = inspect.signature(function).parameters.items()
    return {name: p for name, p in parameters if p.kind is p.KEYWORD_ONLY and name not in ("progress", "checkpoint")}


def _summary(function: Callable[..., Any]) -> str:
    return inspect.cleandoc(function.__doc__ or "").split("\n\n")[0]


def _arguments(function: Callable[..., Any]) -> str:
    """The lines of a docstring's Args section."""
    section = re.search(r"^Args:\n((?: +.*\n|\n(?= ))*)", inspect.cleandoc(function.__doc__ or "") + "\n", re.MULTILINE)
    return "" if section is None else section[1].rstrip("\n")
