"""Losses that a search asks of the exact engine: from its checkpoint as long as that lasts, then measured."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.discovery.checkpoint import Checkpoint, recorded
from acdc.errors import RunError
from acdc.patching.exact.state import CircuitState, Edge

__all__ = ["MeasuredLosses"]


@dataclass(frozen=True)
class MeasuredLosses:
    """What `state.losses` answers, for a search that may have been stopped and goes on.

    Questions come in the order in which the search asked them before, so the recorded answers are those to the first
    ones; the others are measured and recorded. The search can't tell them apart: they are counted alike, and equal to
    the last bit.
    """

    state: CircuitState
    checkpoint: Checkpoint | None = None

    def __call__(self, edges: Sequence[Edge], removed: Bool[np.ndarray, "copies edges"] | None = None) -> list[float]:
        """The loss without some of the kept `edges`, of each copy: see `CircuitState.losses`.

        Raises:
            RunError: A loss is NaN.
        """
        copies = len(edges) if removed is None else len(removed)
        losses = self._recorded(copies)
        if losses is not None:
            self.state.prepare(edges, copies)
        else:
            losses = self.state.losses(edges, removed).tolist()
            self._record(losses, edges)
        return losses

    def of_each(self, questions: Sequence[Sequence[Edge]]) -> Iterator[list[float]]:
        """The losses without each edge of each question; the problem's processes share what has still to be measured.

        Raises:
            RunError: A loss is NaN.
        """
        known = 0
        while known < len(questions) and (losses := self._recorded(len(questions[known]))) is not None:
            yield losses
            known += 1
        left = questions[known:]
        found = self.state.problem.ranks.spread(left, lambda edges: self.state.losses(edges).tolist())
        for edges, losses in zip(left, found, strict=True):
            self._record(losses, edges)
            yield losses

    def _recorded(self, copies: int) -> list[float] | None:
        return recorded(self.checkpoint, lambda values: len(values) == copies)

    def _record(self, losses: list[float], edges: Sequence[Edge]) -> None:
        if any(map(math.isnan, losses)):
            edge = self.state.graph.edge_name(*edges[0])
            raise RunError(f"the loss becomes NaN near {edge}; use a wider dtype (float32 or float64)")
        if self.checkpoint is not None:
            self.checkpoint.append(losses)
