"""The strongest paths of an attribution graph, from what reads nothing to a logit."""

from dataclasses import dataclass
from heapq import nlargest

from acdc.features.attribution_graphs.graph import AttributionGraph
from acdc.features.attribution_graphs.nodes import Node

__all__ = ["Path", "strongest_paths"]

N_PATHS = 10


@dataclass(frozen=True)
class Path:
    """A path.

    Attributes:
        nodes: From its source to a logit.
        share: Its share of all that the logits read: the product of its edges' shares and the logit's weight. The
            shares of all paths sum to 1.
        sign: +1 where it raises the logit, -1 where it lowers it.
    """

    nodes: tuple[Node, ...]
    share: float
    sign: int


def strongest_paths(graph: AttributionGraph, n: int = N_PATHS) -> tuple[Path, ...]:
    """The `n` paths of the largest shares; they end at tokens and errors, or at what was pruned below."""
    row_of = {int(place): row for row, place in enumerate(graph.rows)}
    open_paths: list[list[tuple[float, int, tuple[int, ...]]]] = [[] for _ in graph.nodes]
    for i, weight in enumerate(graph.roots.tolist()):
        if weight > 0:
            open_paths[i].append((weight, 1, (i,)))
    found = list[tuple[float, int, tuple[int, ...]]]()
    for place in reversed(range(len(graph.nodes))):
        row, best = row_of.get(place), nlargest(n, open_paths[place])
        sources = [] if row is None else graph.weights[row].nonzero()[0].tolist()
        if not sources:
            found += [path for path in best if len(path[2]) > 1]
        for source in sources if best else ():
            share, sign = float(graph.shares[row, source]), 1 if graph.weights[row, source] > 0 else -1
            open_paths[source] += [(share * s, sign * each, (source, *path)) for s, each, path in best]
    return tuple(Path(tuple(graph.nodes[i] for i in path), share, sign) for share, sign, path in nlargest(n, found))
