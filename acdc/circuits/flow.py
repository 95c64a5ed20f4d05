"""What reaches the roots of a graph along all its paths, and the least part of it that carries most; matrices alone.

A row says what a node reads: the weight of each node in it. As shares of the sizes of what a row reads, rows are A, and
with the roots' weights w

    reached = w (A + A^2 + ...) = w ((I - A)^-1 - I)

A node that has no row reads nothing. Edges lead forwards only, so that the sum ends.

Reference: Ameisen et al. 2025, Circuit tracing, appendix on pruning; thresholds as circuit-tracer's.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["EDGE_SHARE", "NODE_SHARE", "Kept", "fewest", "kept", "shares", "sum_of_paths"]

NODE_SHARE, EDGE_SHARE = 0.8, 0.98  # of all influence, as circuit-tracer keeps by default

Rows = Float[np.ndarray, "row node"]


class Kept(NamedTuple):
    """What stays of a graph: nodes, and the edges of each row."""

    nodes: Bool[np.ndarray, " node"]
    edges: Bool[np.ndarray, "row node"]


def shares(weights: Rows) -> Rows:
    """Each row's sizes, divided by their sum; a row of zeros stays one."""
    sizes = np.abs(weights)
    totals = sizes.sum(1, keepdims=True)
    return np.divide(sizes, totals, out=sizes, where=totals > 0)


def sum_of_paths(
    weights: Rows, roots: Float[np.ndarray, " node"], rows: Int[np.ndarray, " row"] | None = None
) -> Float[np.ndarray, " node"]:
    """What reaches the roots from each node, by the shares of each row; no matrix of shares is made.

    Args:
        rows: Which node each row is of; by default row i is node i's.

    >>> weights = np.array([[3.0, -1.0, 0.0], [2.0, 0.0, 0.0]])  # of node 2 and of node 1
    >>> sum_of_paths(weights, np.array([0.0, 0.0, 1.0]), np.array([2, 1])).tolist()
    [1.0, 0.25, 0.0]
    """
    rows = np.arange(len(weights)) if rows is None else rows
    order = np.argsort(-rows)
    if any(weights[i, rows[i] :].any() for i in order):
        return _sum_of_powers(shares(weights), roots, rows)
    total = np.zeros(len(roots))
    for i in order:  # all that reads a node stands behind it, so one pass is enough
        sizes, weight = np.abs(weights[i]), total[rows[i]] + roots[rows[i]]
        if weight and (size := sizes.sum(dtype=np.float64)):
            total += weight / size * sizes
    return total


def _sum_of_powers(
    read: Rows, roots: Float[np.ndarray, " node"], rows: Int[np.ndarray, " row"]
) -> Float[np.ndarray, " node"]:
    """The same, whatever the order of the nodes: no path is longer than there are nodes."""
    total, step = np.zeros(len(roots)), roots
    for _ in range(len(roots)):
        step = step[rows].astype(read.dtype) @ read
        if not step.any():
            break
        total += step
    return total


def fewest(values: Float[np.ndarray, " n"], share: float) -> Bool[np.ndarray, " n"]:
    """True for the fewest values, the largest, that sum to a share of the whole; those equal to the last stay too."""
    if not values.any():
        return np.ones(len(values), dtype=bool)
    ordered = np.sort(values)[::-1].astype(np.float64)
    last = int(np.searchsorted(np.cumsum(ordered), share * ordered.sum() * (1 - 1e-12)))
    return values >= ordered[min(last, len(ordered) - 1)]


def kept(
    weights: Rows,
    rows: Int[np.ndarray, " row"],
    roots: Float[np.ndarray, " node"],
    *,
    always: Bool[np.ndarray, " node"],
    nodes: float = NODE_SHARE,
    edges: float = EDGE_SHARE,
    reached: Float[np.ndarray, " node"] | None = None,
) -> Kept:
    """What carries most: the fewest nodes with a share `nodes` of all nodes' influence, and of the edges between these
    the fewest with a share `edges`; then what nothing reads, or reads nothing though it has a row, is removed until
    nothing changes.

    Args:
        always: Nodes that stay in any case.
        reached: What reaches the roots from each node, where it is known.
    """
    reached = sum_of_paths(weights, roots, rows) if reached is None else reached
    stays = always | fewest(reached, nodes)
    of_rows, places = np.nonzero(stays[rows])[0], np.nonzero(stays)[0]
    inner, new = weights[np.ix_(of_rows, places)], np.cumsum(stays) - 1
    reading = new[rows[of_rows]]
    carried = shares(inner) * (sum_of_paths(inner, roots[places], reading) + roots[places])[reading][:, None]
    held = np.zeros(inner.shape, dtype=bool)
    there = inner != 0
    held[there] = fewest(carried[there], edges)
    left = _without_loose_ends(np.ones(len(places), dtype=bool), held, reading, always[places])
    found = Kept(np.zeros(len(stays), dtype=bool), np.zeros(weights.shape, dtype=bool))
    found.nodes[places], found.edges[np.ix_(of_rows, places)] = left
    return found


def _without_loose_ends(
    nodes: Bool[np.ndarray, " node"],
    edges: Bool[np.ndarray, "row node"],
    rows: Int[np.ndarray, " row"],
    always: Bool[np.ndarray, " node"],
) -> Kept:
    while True:
        reads = np.ones(len(nodes), dtype=bool)
        reads[rows] = edges.any(1)
        left = nodes & (always | (reads & edges.any(0)))
        edges = edges & left[rows][:, None] & left[None, :]
        if (left == nodes).all():
            return Kept(left, edges)
        nodes = left
