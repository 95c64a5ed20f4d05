"""Exact edge patching: the effect of removing each edge alone from the whole model, measured.

    score[s, d] = loss(model without s -> d) - loss(model)

One propagation per edge on the exact engine, several stacked; processes share the destinations. It is the truth that
first-order scores approximate; it fails only in what it asks: edges that back each other up each look useless, as each
alone is.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.checkpoint import Checkpoint
from acdc.discovery.measured import MeasuredLosses
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.errors import RunError
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes
from acdc.patching.exact.state import CircuitState, Edge
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "exact"]

MOST = 256  # edges in one propagation


def exact(
    problem: Problem,
    *,
    memory: Bytes = MEMORY,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every edge by the rise of the loss when it alone is removed.

    Args:
        memory: About how many bytes a propagation may take.

    Raises:
        RunError: A loss is NaN.
    """
    if memory < 1:
        raise RunError(f"memory must be a positive number of bytes, not {memory!r}")
    state, graph = CircuitState(problem, memory=memory), problem.graph
    chunks, scores, done = list(_chunks(state, memory)), np.full((graph.n_src, graph.n_dst), np.nan), 0
    for edges, losses in zip(chunks, MeasuredLosses(state, checkpoint).of_each(chunks), strict=True):
        for edge, loss in zip(edges, losses, strict=True):
            scores[edge] = loss - state.loss
        done += len(edges)
        if progress is not None:
            progress(Progress(done, graph.n_edges, stage="patching edges", unit="edges"))
    cost = {"forward_passes": 2 + graph.n_edges, "backward_passes": 0}
    return EdgeScores(torch.from_numpy(scores), "effect", cost)


def _chunks(state: CircuitState, memory: int) -> Iterator[list[Edge]]:
    """Edges that are tried together: into one destination, from the logits back."""
    for dst in reversed(range(state.graph.n_dst)):
        edges = [(src, dst) for src in range(int(state.graph.upstream[dst]))]
        size = max(1, min(MOST, memory // state.cost([dst]).memory))
        for start in range(0, len(edges), size):
            yield edges[start : start + size]


METHOD = Method(
    "exact",
    "each edge's own effect, measured by patching it alone",
    "leave-one-out",
    Scored(exact),
    faster="eap-ig-inputs",
    aliases=("leave-one-out",),
    engines=("exact",),
)
