"""ACDC: greedy removal of edges, from the logits back to the input (Conmy et al. 2023, algorithm 1).

    for each destination d, from the logits to the input:
        for each source s of d:
            remove s -> d if the loss rises by less than tau

Decisions are made one after another, each with all earlier removals in place. `Speculation` measures several edges at
once, and changes no decision.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from acdc.discovery.cautions import cautions
from acdc.discovery.checkpoint import Checkpoint
from acdc.discovery.measured import MeasuredLosses
from acdc.discovery.method import Method
from acdc.discovery.order import Order, check_order, edge_order
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.sequential import by_first
from acdc.discovery.tau import Tau, Threshold, threshold
from acdc.errors import RunError
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes, Range, checked
from acdc.patching.exact.speculation import Losses, Speculation
from acdc.patching.exact.state import CircuitState, Edge
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "acdc", "acdc_from"]


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
        tau: An edge is removed if the loss rises by less than this: a number in the metric's unit, or a share like 5%
            of the whole effect, which is the loss with every edge removed minus the model's.
        absolute: Compare the change's size, so that an edge whose removal helps by `tau` or more stays too.
        senders: Order in which a destination's sources are tried: late-first, early-first or random.
        heads: Order of the heads of a layer as destinations; q, k and v of a head follow each other.
        sweeps: How often to go through the kept edges; 0 for until none can be removed, which makes the result minimal
            at tau.
        prune: After each sweep, remove the edges that change nothing of what the circuit computes: see
            `Problem.prune`.
        speculation: Most edges tried in one propagation; adaptive if None. It changes the speed, no decision.
        memory: About how many bytes a propagation may take.

    Returns:
        The kept edges. Scores are the measured rise of the loss when the edge was last tried, in the metric's unit;
        0 for edges that could have no effect. Guarantees: `minimal_at_tau`, that every kept edge was measured in the
        very circuit that is returned, and stays by the rule above.

    Raises:
        RunError: An option is out of range, or a loss is NaN.
        UnknownNameError: An order has no such name.
    """
    _check(tau, sweeps, speculation, memory)
    check_order(senders, of="senders")
    check_order(heads, of="heads")
    least = threshold(problem, tau, absolute=absolute)

    def search() -> DiscoveryResult:
        state = CircuitState(problem, memory=memory)
        return acdc_from(
            state,
            MeasuredLosses(state, checkpoint),
            least,
            edge_order(state.graph, senders=senders, heads=heads, seed=problem.seed),
            sweeps=sweeps,
            prune=prune,
            speculation=speculation,
            progress=progress,
        )

    return by_first(problem, "acdc", search)


def acdc_from(
    state: CircuitState,
    losses: Losses,
    least: Threshold,
    order: Sequence[Edge],
    *,
    sweeps: int,
    prune: bool = True,
    speculation: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> DiscoveryResult:
    """What `acdc` does, from any circuit on.

    Args:
        state: The circuit.
        losses: Measures the loss without some of its edges, like `state.losses`.
        least: From which rise of the loss on an edge stays.
        order: The order in which edges are tried; those that the circuit doesn't keep are passed over.
    """
    problem, speculate = state.problem, Speculation(state, least.removes, losses, speculation)
    swept = _sweep(speculate, order, sweeps=sweeps, prune=prune, progress=progress)

    mask, tau = torch.from_numpy(state.mask.copy()), least.tau
    sized = cautions(problem, mask, more=f"take a tau below {tau:.3g}", less=f"take a tau above {tau:.3g}")
    return DiscoveryResult(
        mask=mask,
        scores=swept.scores,
        score_kind="effect",
        cost={
            "candidates": speculate.measured,
            "free_removals": speculate.free,
            "forward_passes": state.forward_passes + 1,
            "propagations": state.propagations,
            "sweeps": swept.n,
        },
        guarantees={"minimal_at_tau": swept.settled},
        diagnostics={"whole_effect": least.whole_effect},
        warnings=(*least.warnings, *sized),
        resolved={"tau": tau} if least.is_share else {},
    )


class _Swept(NamedTuple):
    """What sweeps did: each edge's rise of the loss when it was last tried, how many there were, and whether the last
    one removed nothing."""

    scores: Float[Tensor, "src dst"]
    n: int
    settled: bool


def _sweep(
    speculate: Speculation,
    order: Sequence[Edge],
    *,
    sweeps: int,
    prune: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> _Swept:
    """Go through the kept edges of a circuit, and remove each by the search's rule, as often as asked for.

    Args:
        speculate: Measures the rises in the circuit's state, and knows the least.
        order: The order in which edges are tried.
        sweeps: How often; 0 for until none can be removed.
        prune: After each sweep, remove the edges that change nothing.
    """
    state, scores = speculate.state, np.full(speculate.state.mask.shape, np.nan)
    done, settled = 0, False
    while not settled and (sweeps == 0 or done < sweeps):
        before, kept = state.n_edges, [edge for edge in order if state.mask[edge]]
        told = _teller(progress, speculate, len(kept), f"sweep {done + 1}")
        for trial in speculate.trials(kept, told):
            scores[trial.edge] = trial.rise
            if speculate.removes(trial.rise):
                state.remove([trial.edge], trial.loss)
        if prune:
            _prune(state)
        done, settled = done + 1, state.n_edges == before
    return _Swept(torch.from_numpy(scores), done, settled)


def _prune(state: CircuitState) -> None:
    """Remove what changes nothing of what the circuit computes."""
    mask = torch.from_numpy(state.mask)
    idle = mask & ~state.problem.prune(mask)
    state.remove([(src, dst) for src, dst in idle.nonzero().tolist()])


def _teller(
    progress: Callable[[Progress], None] | None, speculate: Speculation, total: int, stage: str
) -> Callable[[int], None] | None:
    """Tells how many edges of a sweep are decided, the start included."""
    if progress is None:
        return None

    def tell(done: int) -> None:
        progress(Progress(done, total, speculate.state.n_edges, stage, speculate.measured, "edges"))

    tell(0)
    return tell


def _check(tau: float | str, sweeps: int, speculation: int | None, memory: int) -> None:
    checked("tau", Tau, tau)
    if not isinstance(sweeps, int) or sweeps < 0:
        raise RunError(f"sweeps must be 0 (until no edge can be removed) or a positive number, not {sweeps!r}")
    if speculation is not None and (not isinstance(speculation, int) or speculation < 1):
        raise RunError(f"speculation must be at least 1, or None for adaptive, not {speculation!r}")
    if memory < 1:
        raise RunError(f"memory must be a positive number of bytes, not {memory!r}")


METHOD = Method(
    "acdc",
    "greedy removal of edges by exact patching, from the logits back",
    "Conmy et al. 2023",
    acdc,
    threshold="tau",
    faster="hap",
    engines=("exact",),
)
