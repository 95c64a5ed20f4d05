"""What a scorer gives back: one number for every edge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

__all__ = ["EdgeScores"]


@dataclass(frozen=True)
class EdgeScores:
    """The estimated effect of removing each edge from the whole model.

    Attributes:
        scores: Positive where removing the edge makes the loss worse; NaN where there is no edge.
        cost: What it took: `forward_passes` and `backward_passes`, in whole batches.
        evidence: What the scorer says of its own accuracy, like `completeness_error`.
    """

    scores: Float[Tensor, "src dst"]
    cost: Mapping[str, int | float]
    evidence: Mapping[str, Any] = field(default_factory=dict)
