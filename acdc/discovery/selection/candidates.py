"""What a circuit can be chosen from, and what a choice is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.circuits.ranking import ranked_edges
from acdc.errors import RunError
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["Candidates", "Mask", "Order", "Selected", "with_positive_share"]

Scores = Float[Tensor, "src dst"]
Mask = Bool[Tensor, "src dst"]
Order = Int[Tensor, " edges"]  # flat indices of [src, dst]: a circuit of n edges is the first n


@dataclass(frozen=True)
class Selected:
    """A circuit, the masked forward passes that it took, and what was measured of it."""

    mask: Mask
    forward_passes: int = 0
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    resolved: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidates:
    """Scored edges.

    Attributes:
        among: Those that may be chosen.
        signed: The best edges are those of the highest score, not of the largest size.
        prune: A circuit is taken without the edges that change nothing of what it computes.
        progress: Told of what is measured.
    """

    problem: Problem
    scores: Scores
    among: Mask
    signed: bool = False
    prune: bool = True
    progress: Callable[[Progress], None] | None = None

    def order(self, positive_share: float | None = None) -> Order:
        """The edges, the best first; of the first n about `positive_share · n` have positive scores, if it is given.

        Raises:
            RunError: `positive_share` is given though the sign ranks.
        """
        order = ranked_edges(self.problem.graph, self.scores, signed=self.signed, among=self.among)
        if positive_share is None:
            return order
        if self.signed:
            raise RunError("positive_share goes with edges that are ranked by size, so not with signed")
        return with_positive_share(order, self.scores, positive_share)

    def cut(self, mask: Mask) -> Mask:
        """A circuit as it is returned: without what changes nothing, if `prune`."""
        return self.problem.prune(mask) if self.prune else mask


def with_positive_share(order: Order, scores: Scores, share: float) -> Order:
    """The edges of an order by size, rearranged: of the first n about `share · n` have positive scores."""
    positive = scores.flatten()[order] > 0
    return torch.tensor(list(_mixed(order[positive].tolist(), order[~positive].tolist(), share)), dtype=torch.long)


def _mixed(positive: list[int], others: list[int], share: float) -> Iterator[int]:
    """Both lists in order, so that of the first n about `share · n` are of the first one, as long as both last."""
    i = j = 0
    while i < len(positive) or j < len(others):
        wanted = round(share * (i + j + 1))
        if i < len(positive) and (i < wanted or j == len(others)):
            yield positive[i]
            i += 1
        else:
            yield others[j]
            j += 1
