"""Which edges of a picture stand in front, and how wide each is drawn.

In front are the edges on the strongest paths. A path is as strong as its weakest edge, and an edge as the strongest
path through it: so what is in front hangs together from the input to the logits. All others step back: pale, and
straight through the picture.

Widths go by the logarithm of the size, for effects span decades.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from acdc.circuits.influence import CROSSING
from acdc.circuits.weighted import WeightedEdge, WeightedNode

__all__ = ["FRONT", "decades_of", "in_front", "log_strength"]

FRONT = 80  # edges that stand in front
MOST_DECADES = 3.0  # of sizes below the largest that widths tell apart


def log_strength(size: float, largest: float, decades: float = MOST_DECADES) -> float:
    """From 0, at so many decades below the largest size and further down, to 1.

    >>> log_strength(1.0, 1.0), round(log_strength(0.1, 1.0), 3), log_strength(0.0001, 1.0)
    (1.0, 0.667, 0.0)
    """
    if not 0 < size < math.inf or largest <= 0:
        return 1.0 if size == math.inf else 0.0
    return min(1.0, max(0.0, 1 + math.log10(size / largest) / decades))


def decades_of(sizes: Sequence[float]) -> float:
    """How many decades of sizes, from the largest on, widths tell apart: as many as there are, from 1 to 3."""
    positive = [size for size in sizes if 0 < size < math.inf]
    return min(MOST_DECADES, max(1.0, math.log10(max(positive) / min(positive)))) if positive else MOST_DECADES


def in_front(
    nodes: Sequence[WeightedNode],
    edges: Sequence[WeightedEdge],
    most: int = FRONT,
    *,
    across: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> set[int]:
    """Indices of the `most` edges on the strongest paths; all of them where there are no more.

    Args:
        nodes: In an order in which edges go forwards.
        across: The nodes that read what enters a key or value of each node: see `acdc.circuits.influence.readers`.
    """
    if len(edges) <= most:
        return set(range(len(edges)))
    place = {node.id: i for i, node in enumerate(nodes)}
    sizes = [_size(edge) for edge in edges]
    ends = [across.get(edge.dst, (edge.dst,)) if edge.input in CROSSING else (edge.dst,) for edge in edges]
    steps = [(edge.src, end, size) for edge, found, size in zip(edges, ends, sizes, strict=True) for end in found]
    above = _widest(sorted(steps, key=lambda step: place[step[0]]))
    back = sorted(steps, key=lambda step: -place[step[1]])
    below = _widest([(end, start, size) for start, end, size in back])
    paths = [
        min(above.get(edge.src, math.inf), sizes[i], max((below.get(end, math.inf) for end in ends[i]), default=0.0))
        for i, edge in enumerate(edges)
    ]
    return set(sorted(range(len(edges)), key=lambda i: (-paths[i], -sizes[i]))[:most])


def _size(edge: WeightedEdge) -> float:
    return abs(edge.weight) if edge.weight is not None and not math.isnan(edge.weight) else 0.0


def _widest(steps: Sequence[tuple[str, str, float]]) -> dict[str, float]:
    """The strength of the strongest path to each node that a step enters, the steps being in order."""
    found: dict[str, float] = {}
    for start, end, size in steps:
        found[end] = max(found.get(end, 0.0), min(found.get(start, math.inf), size))
    return found
