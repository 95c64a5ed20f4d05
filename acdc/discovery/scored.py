"""The search that scores every edge, then chooses a circuit by the scores."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.checkpoint import Checkpoint
from acdc.discovery.options import Option, options_of
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.selection.select import select, select_options
from acdc.errors import RunError
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["Scored"]

MOST_GROUPS = 20  # of prompts, to resample from
OF_RESAMPLING = ("resamples", "agreement")


@dataclass(frozen=True)
class Scored:
    """A search from a scorer, with the options of both: the scorer's and those of `select`.

    Attributes:
        score: `score(problem, *, progress=None, **options) -> EdgeScores`. If it takes `checkpoint`, it can be stopped
            and go on. If it takes `n_groups`, it can part its scores by prompts, so that these can be resampled.
    """

    score: Callable[..., EdgeScores]

    @property
    def options(self) -> dict[str, Option]:
        """The scorer's own options, and those of the selection."""
        of_selection = select_options()
        if not self._takes("n_groups"):
            of_selection = {name: option for name, option in of_selection.items() if name not in OF_RESAMPLING}
        return options_of(self.score) | of_selection

    def __call__(
        self,
        problem: Problem,
        *,
        checkpoint: Checkpoint | None = None,
        progress: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> DiscoveryResult:
        own = {name: options.pop(name) for name in options_of(self.score) if name in options}
        if self._takes("checkpoint"):
            own["checkpoint"] = checkpoint
        if options.get("resamples"):
            if problem.batch.n < 2:
                raise RunError("resamples needs at least two prompts")
            own["n_groups"] = min(problem.batch.n, MOST_GROUPS)
        found = self.score(problem, progress=progress, **own)
        chosen = select(problem, found, progress=progress, **options)
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

    def _takes(self, name: str) -> bool:
        return name in inspect.signature(self.score).parameters
