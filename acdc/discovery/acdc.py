"""ACDC: greedy removal of edges, from the logits back to the input (Conmy et al. 2023, algorithm 1).

    for each destination d, from the logits to the input:
        for each source s of d:
            remove s -> d if the loss rises by less than tau

Decisions are made one after another, each with all earlier removals in place. Several are tried in one propagation by
predicting the decisions before them; a prediction that fails costs its work and changes nothing (fact 6).
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch

from acdc.circuits.graph import QKV, Graph
from acdc.defaults import MEMORY
from acdc.discovery.cautions import cautions
from acdc.discovery.checkpoint import Checkpoint, recorded
from acdc.discovery.method import Method
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.tau import Tau, threshold
from acdc.errors import RunError, unknown_name
from acdc.patching.exact.state import CircuitState, Cost, Edge
from acdc.patching.problem import Problem
from acdc.progress import Progress
from acdc.ranges import Bytes, Checked, Range, checked

__all__ = ["METHOD", "ORDERS", "acdc"]

ORDERS = ("late-first", "early-first", "random")


def _check_order(name: str) -> None:
    if name not in ORDERS:
        raise unknown_name("order", name, ORDERS)


Order = Annotated[str, Checked(_check_order)]
WIDTHS = [round(2 ** (i / 2)) for i in range(17)]  # 1 to 256
OVERHEAD = 3 * 10**8  # floating-point operations in the time that a propagation takes however small it is
NEARLY = 0.95  # of the best speed: the fewest trials that reach it
PER_BYTE = 13  # floating-point operations in the time that a byte of weights takes to be read


def acdc(
    problem: Problem,
    *,
    tau: Tau = 0.01,
    absolute: bool = False,
    senders: Order = "late-first",
    heads: Order = "late-first",
    sweeps: Annotated[int, Range(0, 10_000)] = 1,
    prune: bool = True,
    speculation: Annotated[int, Range(1, 2**16)] | None = None,
    memory: Bytes = MEMORY,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> DiscoveryResult:
    """Find a circuit by ACDC.

    Args:
        tau: An edge goes if the loss rises by less than this: a number in the metric's unit, or a share like 5% of the
            whole effect, which is the loss with every edge removed minus the model's.
        absolute: Compare the change's size, so that an edge whose removal helps by `tau` or more stays too.
        senders: Order in which a destination's sources are tried: late-first, early-first or random.
        heads: Order of the heads of a layer as destinations; q, k and v of a head follow each other.
        sweeps: How often to go through the kept edges; 0 for until none can go, which makes the result minimal at tau.
        prune: After each sweep, take away the edges that change nothing of what the circuit computes: see
            `Problem.prune`.
        speculation: Most edges tried in one propagation; adaptive if None. It changes the speed, no decision.
        memory: About how many bytes a propagation may take.

    Returns:
        The kept edges. Scores are the measured rise of the loss when the edge was last tried, in the metric's unit;
        0 for edges that could have no effect. Claims: `minimal_at_tau`, that every kept edge was measured in the very
        circuit that is returned, and stays by the rule above.

    Raises:
        RunError: An option is out of range, or a loss is NaN.
        UnknownNameError: An order has no such name.
    """
    _check(tau, sweeps, speculation, memory, senders=senders, heads=heads)
    least = threshold(problem, tau)
    state = CircuitState(problem, memory=memory)
    search = _Search(state, least.tau, absolute, _Width(speculation, memory), checkpoint)
    order = edge_order(state.graph, senders=senders, heads=heads, seed=problem.seed)
    done, settled = 0, False
    while not settled and (sweeps == 0 or done < sweeps):
        removed = search.sweep([edge for edge in order if state.mask[edge]], f"sweep {done + 1}", progress)
        removed += search.prune() if prune else 0
        done, settled = done + 1, removed == 0
    mask = torch.from_numpy(state.mask.copy())
    sized = cautions(problem, mask, more=f"take a tau below {least.tau:.3g}", less=f"take a tau above {least.tau:.3g}")
    return DiscoveryResult(
        mask=mask,
        scores=torch.from_numpy(search.scores),
        score_kind="effect",
        cost={
            "candidates": search.tried,
            "free_removals": search.free,
            "forward_passes": state.forward_passes + 1,
            "propagations": state.propagations,
            "sweeps": done,
        },
        guarantees={"minimal_at_tau": settled},
        diagnostics={"whole_effect": least.whole_effect},
        warnings=(*least.warnings, *sized),
        resolved={"tau": least.tau} if isinstance(tau, str) else {},
    )


def edge_order(graph: Graph, *, senders: str = "late-first", heads: str = "late-first", seed: int = 0) -> list[Edge]:
    """Every edge in the order in which ACDC tries it; destinations always from the logits back."""
    rng = random.Random(seed)
    sources, edges = _ordered(range(graph.n_src), senders, rng), []
    for dst in _destinations(graph, heads, rng):
        edges += [(src, dst) for src in sources if src < int(graph.upstream[dst])]
    return edges


def _destinations(graph: Graph, heads: str, rng: random.Random) -> list[int]:
    found = [graph.n_dst - 1]
    for layer in reversed(range(graph.n_layers)):
        found.append(graph.mlp_dst(layer))
        found += [graph.head_dst(layer, kind, h) for h in _ordered(range(graph.n_heads), heads, rng) for kind in QKV]
    return found


def _ordered(items: Sequence[int], order: str, rng: random.Random) -> list[int]:
    if order == "random":
        return rng.sample(items, len(items))
    return list(reversed(items)) if order == "late-first" else list(items)


def _check(tau: float | str, sweeps: int, speculation: int | None, memory: int, **orders: str) -> None:
    checked("tau", Tau, tau)
    if not isinstance(sweeps, int) or sweeps < 0:
        raise RunError(f"sweeps must be 0 (until no edge can go) or a positive number, not {sweeps!r}")
    if speculation is not None and (not isinstance(speculation, int) or speculation < 1):
        raise RunError(f"speculation must be at least 1, or None for adaptive, not {speculation!r}")
    if memory < 1:
        raise RunError(f"memory must be a positive number of bytes, not {memory!r}")
    for option, order in orders.items():
        if order not in ORDERS:
            raise unknown_name(f"order of {option}", order, ORDERS)


@dataclass
class _Width:
    """How many edges to try at once: the fewest that decide nearly as many edges in a given time as any number could.

    If a prediction holds with probability p, K trials are expected to decide `(1 - p^K) / (1 - p)` edges, in a time of
    `OVERHEAD + PER_BYTE weights + K flops`.
    """

    fixed: int | None
    memory: int
    held: float = 3.0
    missed: float = 1.0

    def best(self, cost: Cost) -> int:
        if self.fixed is not None:
            return min(self.fixed, max(1, self.memory // cost.memory))
        p = self.held / (self.held + self.missed)
        widths = [width for width in WIDTHS if width == 1 or width * cost.memory <= self.memory]
        once = OVERHEAD + PER_BYTE * cost.weights
        speeds = [(1 - p**width) / (once + width * cost.flops) for width in widths]
        return next(width for width, speed in zip(widths, speeds, strict=True) if speed >= NEARLY * max(speeds))

    def learn(self, held: int, missed: bool) -> None:
        """Count predictions, the latest ones most."""
        self.held, self.missed = 0.9 * self.held + held, 0.9 * self.missed + missed


@dataclass(frozen=True)
class _Trial:
    """One edge of a chain: it is tried together with the removals predicted before it."""

    edge: Edge
    free: bool
    goes: bool  # predicted


@dataclass
class _Search:
    """The decisions so far."""

    state: CircuitState
    tau: float
    absolute: bool
    width: _Width
    checkpoint: Checkpoint | None
    tried: int = 0
    free: int = 0
    gone: float = 1.0  # share of the measured edges that went, the latest ones most
    scores: np.ndarray = field(init=False)
    guesses: dict[Edge, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scores = np.full(self.state.mask.shape, np.nan)

    def goes(self, change: float) -> bool:
        """ACDC's rule."""
        return (abs(change) if self.absolute else change) < self.tau

    def sweep(self, edges: list[Edge], stage: str, progress: Callable[[Progress], None] | None) -> int:
        """Decide every edge, in order; how many went."""
        done = removed = 0
        if progress is not None:
            progress(Progress(0, len(edges), stage=stage, measured=self.tried, unit="edges"))
        while done < len(edges):
            chain = self.chain(edges, done)
            decided, gone = self.decide(chain)
            done, removed = done + decided, removed + gone
            if progress is not None:
                progress(Progress(done, len(edges), int(self.state.mask.sum()), stage, self.tried, "edges"))
        return removed

    def prune(self) -> int:
        """Take away what changes nothing of what the circuit computes; how many edges went."""
        mask = torch.from_numpy(self.state.mask)
        idle = mask & ~self.state.problem.prune(mask)
        self.state.remove([(src, dst) for src, dst in idle.nonzero().tolist()])
        return int(idle.sum())

    def chain(self, edges: list[Edge], start: int) -> list[_Trial]:
        """The next edges to try, with predictions; it ends where the width or the memory does."""
        state, trials = self.state, list[_Trial]()
        outgoing = state.mask.sum(1).tolist()
        n_measured, width, dsts = 0, 0, set[int]()
        for edge in edges[start:]:
            src, dst = edge
            node = state.graph.src_of_dst[dst]
            free = node is not None and outgoing[node] == 0
            if not free:
                if dst not in dsts:
                    dsts.add(dst)
                    width = self.width.best(state.cost(dsts))
                if n_measured >= width:
                    break
                n_measured += 1
            trials.append(_Trial(edge, free, self.predict(edge, free)))
            outgoing[src] -= trials[-1].goes
        return trials

    def predict(self, edge: Edge, free: bool) -> bool:
        """Whether an edge will go: by its effect when it was measured in vain, else as most edges did lately."""
        if free:
            return self.goes(0.0)
        return self.goes(self.guesses[edge]) if edge in self.guesses else self.gone > 0.5

    def decide(self, chain: list[_Trial]) -> tuple[int, int]:
        """Measure a chain and take its decisions up to the first that was predicted wrongly, that one included."""
        measured = [trial for trial in chain if not trial.free]
        losses = iter(self.measure(measured))
        loss, decided, removed, missed, held = self.state.loss, 0, 0, False, 0
        for trial in chain:
            new = loss if trial.free else next(losses)
            change = new - loss
            if missed:  # measured in a circuit that isn't ours: a guess
                self.guesses[trial.edge] = change
                loss = new if trial.goes else loss
                continue
            goes = self.goes(change)
            self.scores[trial.edge] = change
            decided, removed = decided + 1, removed + goes
            if trial.free:
                self.free += goes
            else:
                self.tried, self.gone = self.tried + 1, 0.95 * self.gone + 0.05 * goes
            if goes:
                self.state.remove([trial.edge], None if trial.free else new)
            missed = goes != trial.goes
            held += not (missed or trial.free)
            loss = new if trial.goes else loss
        if measured:
            self.width.learn(held, missed)
        return decided, removed

    def measure(self, trials: list[_Trial]) -> list[float]:
        """The losses of trials, read from the checkpoint where a former run measured them."""
        if not trials:
            return []
        edges, goes = [trial.edge for trial in trials], np.array([trial.goes for trial in trials])
        self.state.settle([dst for _, dst in edges])
        known = recorded(self.checkpoint, len(trials))
        removed = np.tril(np.broadcast_to(goes, (len(edges), len(edges))), -1) | np.eye(len(edges), dtype=bool)
        losses = self.state.losses(edges, removed).tolist() if known is None else known
        if any(math.isnan(loss) for loss in losses):
            edge = self.state.graph.edge_name(*trials[0].edge)
            raise RunError(f"the loss becomes NaN near {edge}; use a wider dtype (float32 or float64)")
        if known is not None:  # they were made before the search was stopped
            self.state.forward_passes += len(trials)
            self.state.propagations += 1
        elif self.checkpoint is not None:
            self.checkpoint.append(losses)
        return losses


METHOD = Method(
    "acdc",
    "greedy removal of edges by exact patching, from the logits back",
    "Conmy et al. 2023",
    acdc,
    threshold="tau",
)
