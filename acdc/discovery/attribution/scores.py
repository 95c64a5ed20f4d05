"""What a scorer gives back: one number for every edge."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from acdc.circuits.score_kinds import ScoreKind
from acdc.errors import RunError
from acdc.metrics import Metric

__all__ = ["EdgeScores", "Scorer", "check_gradient"]


@dataclass(frozen=True)
class EdgeScores:
    """A scorer's result.

    Attributes:
        scores: One number an edge; NaN where there is no edge. Of effects, measured or estimated: positive where
            removing the edge makes the loss worse.
        kind: What the scores are: see `acdc.circuits.score_kinds`.
        cost: What it took: `forward_passes` and `backward_passes`, in whole batches.
        diagnostics: What the scorer says of its own accuracy, like `completeness_error`.
        groups: The same from groups of prompts apart, adding up to `scores`; for resampling. None if not asked for.
    """

    scores: Float[Tensor, "src dst"]
    kind: ScoreKind
    cost: Mapping[str, int | float]
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    groups: Float[Tensor, "groups src dst"] | None = None


Scorer = Callable[..., EdgeScores]  # scorer(problem, *, progress=None, **options)


def check_gradient(metric: Metric, method: str) -> None:
    """Raise `RunError` where the metric has no gradient at the clean run, so that `method` would score nothing."""
    if metric.flat_at_clean:
        raise RunError(
            f"method {method!r} takes gradients at the clean run, where metric {metric.name!r} is flat, so every score "
            "would be 0; use logit_diff, nll or prob_diff, or a method like eap-ig-inputs"
        )
