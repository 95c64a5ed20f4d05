"""Greedy removal of edges, several measured at a time by predicting the decisions between them (fact 6).

A greedy search decides one edge after another, each by the rise of the loss when it is removed from the circuit that
all earlier decisions left. `Speculation` gives it these rises. It measures a chain of edges in one propagation: each
copy of the batch is without one of them and without those before it that are expected to be removed. Rises are given
out up to the first decision that was expected otherwise, that one included; what was measured after it serves as a
prediction. A wrong expectation costs its work and changes no rise.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from acdc.patching.exact.cost import Cost
from acdc.patching.exact.device_speed import DeviceSpeed, speed_of
from acdc.patching.exact.state import CircuitState, Edge

__all__ = ["Losses", "Speculation", "Trial"]

Losses = Callable[[Sequence[Edge], Bool[np.ndarray, "copies edges"]], list[float]]

WIDTHS = [round(2 ** (i / 2)) for i in range(17)]  # 1 to 256
NEARLY = 0.95  # of the best speed: the fewest edges that reach it


class Trial(NamedTuple):
    """An edge that is to be decided.

    Attributes:
        rise: How much the loss rises when it is removed.
        loss: The loss without it; None where its removal can't have an effect, which is known without a measurement.
    """

    edge: Edge
    rise: float
    loss: float | None


@dataclass
class Speculation:
    """Gives a greedy search the rise of the loss for each edge in turn.

    Args:
        state: The search's circuit, from which it removes edges.
        removes: Whether the search removes an edge at this rise: what decisions are predicted by.
        losses: Measures the loss without the edges of each copy, like `state.losses`.
        width: Most edges in one propagation; adaptive if None. It changes the speed, no rise.

    Attributes:
        measured: How many edges were decided by a measurement.
        free: How many were removed without one.
    """

    state: CircuitState
    removes: Callable[[float], bool]
    losses: Losses
    width: int | None = None
    measured: int = field(default=0, init=False)
    free: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        model = self.state.problem.model
        self._width = _Width(self.width, self.state.memory, speed_of(model.device, model.dtype))
        self._removed_lately = 1.0  # share of the measured edges that were removed, the latest ones most
        self._guesses: dict[Edge, float] = {}  # rises that were measured in another circuit than the search's

    def trials(self, edges: Sequence[Edge], after: Callable[[int], None] | None = None) -> Iterator[Trial]:
        """Each of `edges` in turn, to be removed from the state, or not, before the next one is taken.

        Args:
            after: Called after each propagation with how many of the edges are decided.
        """
        done = 0
        while done < len(edges):
            for trial in self._decide(self._chain(edges, done)):
                yield trial
                done += 1
            if after is not None:
                after(done)

    def _chain(self, edges: Sequence[Edge], start: int) -> "list[_Guess]":
        """The next edges to try, with predictions; it ends where the width or the memory does."""
        state, chain = self.state, list[_Guess]()
        outgoing, n_spans = state.outgoing.tolist(), state.graph.n_spans
        n_measured, width, dsts = 0, 0, set[int]()
        for edge in edges[start:]:
            src, dst = edge
            sites = state.graph.sites_of_dst[dst]
            free = bool(sites) and not any(outgoing[site] for site in sites)
            if not free:
                if dst not in dsts:
                    dsts.add(dst)
                    width = self._width.best(state.cost(dsts))
                if n_measured >= width:
                    break
                n_measured += 1
            chain.append(_Guess(edge, free, self._predict(edge, free)))
            outgoing[src * n_spans + dst % n_spans] -= chain[-1].removed
        return chain

    def _predict(self, edge: Edge, free: bool) -> bool:
        """Whether an edge will be removed: by its rise in another circuit, else as most edges were lately."""
        if free:
            return self.removes(0.0)
        return self.removes(self._guesses[edge]) if edge in self._guesses else self._removed_lately > 0.5

    def _decide(self, chain: "list[_Guess]") -> Iterator[Trial]:
        """Measure a chain, and give out its edges up to the first that was predicted wrongly."""
        losses = iter(self._measure([guess for guess in chain if not guess.free]))
        loss, held, missed = self.state.loss, 0, False
        for guess in chain:
            new = loss if guess.free else next(losses)
            if missed:
                self._guesses[guess.edge] = new - loss
            else:
                yield Trial(guess.edge, new - loss, None if guess.free else new)
                removed = not self.state.mask[guess.edge]
                self._count(guess, removed)
                missed = removed != guess.removed
                held += not (missed or guess.free)
            loss = new if guess.removed else loss
        if any(not guess.free for guess in chain):
            self._width.learn(held, missed)

    def _measure(self, guesses: "list[_Guess]") -> list[float]:
        """The loss without each edge and without those before it that are expected to be removed."""
        if not guesses:
            return []
        n, expected = len(guesses), np.array([guess.removed for guess in guesses])
        removed = np.tril(np.broadcast_to(expected, (n, n)), -1) | np.eye(n, dtype=bool)
        return self.losses([guess.edge for guess in guesses], removed)

    def _count(self, guess: "_Guess", removed: bool) -> None:
        if guess.free:
            self.free += removed
        else:
            self.measured += 1
            self._removed_lately = 0.95 * self._removed_lately + 0.05 * removed


class _Guess(NamedTuple):
    """One edge of a chain: whether it can have no effect, and whether it is expected to be removed."""

    edge: Edge
    free: bool
    removed: bool


@dataclass
class _Width:
    """How many edges to try at once: the fewest that decide nearly as many edges in a given time as any number could.

    If a prediction holds with probability p, K trials are expected to decide `(1 - p^K) / (1 - p)` edges, in a time of
    `start + layer layers + byte weights + K flops` operations, by the device's speed.
    """

    fixed: int | None
    memory: int
    speed: DeviceSpeed
    held: float = 3.0
    missed: float = 1.0

    def best(self, cost: Cost) -> int:
        """How many edges to try in propagations of this cost."""
        if self.fixed is not None:
            return min(self.fixed, max(1, self.memory // cost.memory))
        p = self.held / (self.held + self.missed)
        widths = [width for width in WIDTHS if width == 1 or width * cost.memory <= self.memory]
        once = self.speed.start + self.speed.layer * cost.layers + self.speed.byte * cost.weights
        speeds = [(1 - p**width) / (once + width * cost.flops) for width in widths]
        return next(width for width, speed in zip(widths, speeds, strict=True) if speed >= NEARLY * max(speeds))

    def learn(self, held: int, missed: bool) -> None:
        """Count predictions, the latest ones most."""
        self.held, self.missed = 0.9 * self.held + held, 0.9 * self.missed + missed
