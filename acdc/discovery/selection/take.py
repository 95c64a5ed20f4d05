"""Exactly n edges of a ranking, every one of them on a path.

The shortest start of the ranking is taken of which at least n edges lie on paths; the rest is removed. If more than n
are left, it is the last edge of the start that put several on paths at once. Of these, the weakest are removed first,
each with what then lies on no path, as long as n stay; what was on paths before stays, for it is stronger (but for one
edge, where a node that joins needs the room of two). Where every removal would take too many with it, the weakest is
removed all the same, and the best edges between the nodes that are left fill up, and then the best two edges that join
one more node. No forward pass is needed.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.circuits.ranking import first_edges

__all__ = ["Taken", "take"]


class Taken(NamedTuple):
    """A circuit, and how many edges of the ranking had to be gone through for it."""

    mask: Bool[Tensor, "src dst"]
    gone_through: int


def take(graph: Graph, order: Int[Tensor, " edges"], n: int, *, from_input: bool = True) -> Taken:
    """The circuit of `n` edges that lie on paths from the input to the logits.

    Args:
        order: The edges that may be chosen, as flat indices of `[src, dst]`, best first.
        from_input: If not, a path to the logits is enough: see `Graph.prune`.

    Returns:
        Fewer edges only where `order` has no `n` that can be joined.
    """

    def start(length: int) -> Bool[Tensor, "src dst"]:
        return graph.prune(first_edges(graph, order, length), from_input=from_input)

    low, high = min(n, len(order)), len(order)
    while low < high:  # what is on paths grows with the start
        middle = (low + high) // 2
        low, high = (low, middle) if int(start(middle).sum()) >= n else (middle + 1, high)
    found = _Circuit(graph, order.tolist(), from_input, start(low))
    if len(found) > n:
        new = found.kept - _edges(start(low - 1))
        found.trim(n, new)
        if len(found) > n:
            found.drop(found.cascade(found.weakest(new & found.kept)))
    while len(found) < n and found.grow(n):
        pass
    return Taken(found.mask(), low)


def _edges(mask: Bool[Tensor, "src dst"]) -> set[int]:
    return set(mask.flatten().nonzero()[:, 0].tolist())


class _Circuit:
    """Edges that all lie on paths, by the sites that they leave and those that they enter: none for the logits."""

    def __init__(self, graph: Graph, ranking: list[int], from_input: bool, mask: Bool[Tensor, "src dst"]) -> None:
        self.graph, self.ranking, self.from_input = graph, ranking, from_input
        self.rank = {edge: i for i, edge in enumerate(ranking)}
        self.kept = _edges(mask)
        self.out: dict[int, set[int]] = {}
        self.into: dict[int, set[int]] = {}
        for edge in self.kept:
            self._note(edge)

    def __len__(self) -> int:
        return len(self.kept)

    def ends(self, edge: int) -> tuple[int, tuple[int, ...]]:
        """The site that an edge leaves, and those that it enters: several where attention carries it to other spans."""
        src, dst = divmod(edge, self.graph.n_dst)
        return self.graph.site(src, dst), self.graph.sites_of_dst[dst]

    def mask(self) -> Bool[Tensor, "src dst"]:
        mask = torch.zeros(self.graph.n_src * self.graph.n_dst, dtype=torch.bool)
        mask[sorted(self.kept)] = True
        return mask.view(self.graph.n_src, self.graph.n_dst)

    def weakest(self, edges: set[int]) -> int:
        return max(edges, key=self.rank.__getitem__)

    def cascade(self, edge: int) -> set[int]:
        """The edge, and all that lie on no path without it."""
        gone, todo = {edge}, [edge]
        left_out: dict[int, int] = {}
        left_into: dict[int, int] = {}

        def is_read(site: int) -> bool:
            return left_out.get(site, len(self.out.get(site, ()))) > 0

        while todo:
            site, entered = self.ends(todo.pop())
            left_out[site] = left_out.get(site, len(self.out[site])) - 1
            lost = set[int]()
            if left_out[site] == 0:
                lost |= {other for other in self.into.get(site, ()) if not any(map(is_read, self.ends(other)[1]))}
            for each in entered:
                left_into[each] = left_into.get(each, len(self.into[each])) - 1
                if self.from_input and left_into[each] == 0:
                    lost |= self.out.get(each, set())
            todo += lost - gone
            gone |= lost
        return gone

    def drop(self, edges: set[int]) -> None:
        for edge in edges:
            site, entered = self.ends(edge)
            self.kept.remove(edge)
            self.out[site].remove(edge)
            for each in entered:
                self.into[each].remove(edge)

    def trim(self, n: int, edges: set[int]) -> None:
        """Remove the weakest of some edges, with what hangs on them, as long as at least n are left."""
        for edge in sorted(edges, key=self.rank.__getitem__, reverse=True):
            if len(self) == n:
                return
            if edge in self.kept and len(self) - len(gone := self.cascade(edge)) >= n:
                self.drop(gone)

    def grow(self, n: int) -> bool:
        """Add the best edges that make paths at once; whether there were any."""
        new = [edge for edge in self.ranking if edge not in self.kept and self._joins(edge)][: n - len(self)]
        if not new:
            new = self._best_pair()
            if new and len(self) == n - 1:  # one more node needs two edges: another one makes room
                spare = [edge for edge in self.kept if len(self.cascade(edge)) == 1]
                if not spare:
                    return False
                self.drop({max(spare, key=self.rank.__getitem__)})
        for edge in new:
            self.kept.add(edge)
            self._note(edge)
        return bool(new)

    def _note(self, edge: int) -> None:
        site, entered = self.ends(edge)
        self.out.setdefault(site, set()).add(edge)
        for each in entered:
            self.into.setdefault(each, set()).add(edge)

    def _writes(self, site: int) -> bool:
        """Whether the site has live inputs, or needs none."""
        return site < self.graph.n_spans or not self.from_input or bool(self.into.get(site))

    def _reads(self, entered: tuple[int, ...]) -> bool:
        """Whether what an edge enters reaches the logits."""
        return not entered or any(self.out.get(site) for site in entered)

    def _joins(self, edge: int) -> bool:
        site, entered = self.ends(edge)
        return self._writes(site) and self._reads(entered)

    def _best_pair(self) -> list[int]:
        """The best two edges, one into a site that is not in the circuit and one out of it; none if there are none."""
        into, out = dict[int, int](), dict[int, int]()
        for edge in self.ranking:
            site, entered = self.ends(edge)
            if entered and self._writes(site) and not self._reads(entered):
                for each in entered:
                    into.setdefault(each, edge)
            if not self._writes(site) and self._reads(entered):
                out.setdefault(site, edge)
            if done := (into.keys() & out.keys()):
                each = min(done)
                return [into[each], out[each]]
        return []
