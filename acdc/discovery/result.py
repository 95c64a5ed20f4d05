"""What a discovery method gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.score_kinds import ScoreKind

__all__ = ["DiscoveryResult"]


@dataclass(frozen=True)
class DiscoveryResult:
    """A method's result.

    Attributes:
        mask: The kept edges.
        scores: One number an edge; NaN where it wasn't measured.
        score_kind: What the scores are: see `acdc.circuits.score_kinds`.
        cost: What it took, like `forward_passes` (whole batches), `candidates` (edges tried).
        guarantees: What holds of the result by construction, like `minimal_at_tau`.
        diagnostics: What was measured on the way, like `completeness_error`.
        warnings: What a reader of the result must know, a sentence each.
        resolved: Options in the form that the search took them, where they are not as given: `tau` of a share, the
            `select` and `n_edges` that a large graph's default means.
    """

    mask: Bool[Tensor, "src dst"]
    scores: Float[Tensor, "src dst"]
    score_kind: ScoreKind
    cost: Mapping[str, int | float]
    guarantees: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    resolved: Mapping[str, Any] = field(default_factory=dict)
