"""What a change can touch: reachability through kept edges, in numpy because the questions are small and many."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from acdc.circuits.graph import QKV, Graph
from acdc.circuits.paths import useful_destinations

__all__ = ["Groups", "LayerReach", "Reach", "Reading", "reach", "reading"]

Destinations = Bool[np.ndarray, " dst"]
Groups = tuple[list[int], ...]
"""For each group of rows (see `acdc.patching.rows`) some heads of a layer."""


@dataclass(frozen=True)
class Reading:
    """Where each destination's input matters.

    Attributes:
        useful: Its node has a path of kept edges to the logits.
        all_positions: It matters at all positions of the span; else, if it is useful, at the last alone (fact 4).
    """

    useful: Destinations
    all_positions: Destinations

    def within(self, sizes: Sequence[int]) -> "Reading":
        """Without spans of which no row can change, where groups have so many rows."""
        live = np.resize(np.array(sizes[:-1]) > 0, self.useful.shape)
        return self if live.all() else Reading(self.useful & live, self.all_positions & live)


@dataclass(frozen=True)
class LayerReach:
    """What changes in one layer, by groups of rows.

    Attributes:
        inputs: For q, k and v, the heads whose input changes.
        heads: Heads that change, where their output is read.
        mlp: The groups at which the MLP changes.
    """

    inputs: dict[str, Groups]
    heads: Groups
    mlp: tuple[int, ...]

    def within(self, sizes: Sequence[int]) -> "LayerReach":
        """Without groups that have no rows."""

        def some(heads: Groups) -> Groups:
            return tuple(each if size else [] for each, size in zip(heads, sizes, strict=True))

        inputs = {kind: some(heads) for kind, heads in self.inputs.items()}
        return LayerReach(inputs, some(self.heads), tuple(group for group in self.mlp if sizes[group]))

    @cached_property
    def all_positions(self) -> list[int]:
        """Heads that change at more than the last positions."""
        return sorted(set().union(*self.heads[:-1]))

    @cached_property
    def last_position(self) -> list[int]:
        """Heads that change at the last positions alone."""
        return [h for h in self.heads[-1] if h not in set(self.all_positions)]

    def in_order(self, group: int) -> list[int]:
        """The heads of a group, those that change at the last positions alone behind the others."""
        return [h for h in (*self.all_positions, *self.last_position) if h in self.heads[group]]


@dataclass(frozen=True)
class Reach:
    """What changes downstream of some destinations.

    Attributes:
        layers: From the first layer on; layers before the change are empty.
        counts: Sources that change, for each group of rows.
        logits: Whether the logits change.
    """

    layers: tuple[LayerReach, ...]
    counts: tuple[int, ...]
    logits: bool

    def work(self, sizes: Iterable[float]) -> float:
        """Node-positions that are computed, and one of the logits, where groups have so many rows."""
        sizes = list(sizes)
        return sum(count * size for count, size in zip(self.counts, sizes, strict=True)) + sizes[-1]


def reading(graph: Graph, mask: Bool[np.ndarray, "src dst"]) -> Reading:
    """Where each destination's input matters, from the logits back.

    A k or v of a useful head matters at all positions that attend to its own; a q or an MLP's input does if what its
    node writes is read by something that matters at all positions.
    """
    kept = mask.reshape(len(mask), -1, graph.n_spans)
    useful, whole = useful_destinations(graph, kept), graph.whole
    all_positions = np.zeros_like(useful)
    for layer in reversed(range(graph.n_layers)):
        q, k, mlp = whole.head_dst(layer, "q"), whole.head_dst(layer, "k"), whole.mlp_dst(layer)
        all_positions[mlp] = (kept[graph.mlp_src(layer)] & all_positions).any(0)
        all_positions[q:k] = (kept[graph.head_src(layer) : graph.mlp_src(layer)] & all_positions).any(1)
        all_positions[k:mlp] = useful[k:mlp]
    return Reading(useful.flatten(), all_positions.flatten())


def reach(graph: Graph, mask: Bool[np.ndarray, "src dst"], read: Reading, changed: Iterable[int]) -> Reach:
    """What changes when the inputs of the destinations `changed` do, without what has no use (facts 2, 3)."""
    kept, n, n_heads = mask.reshape(len(mask), -1, graph.n_spans), graph.n_spans, graph.n_heads
    sees, whole, nothing = np.array(graph.sees), graph.whole, _nothing(graph.n_spans)
    useful, all_positions = (each.reshape(-1, n) for each in (read.useful, read.all_positions))
    touched = np.zeros_like(useful)
    touched.flat[list(changed)] = True
    layers, counts = list[LayerReach](), np.zeros(n + 1, int)
    for layer in range(graph.n_layers):
        q, dst = whole.head_dst(layer, "q"), whole.mlp_dst(layer)
        inputs = (touched[q:dst] & useful[q:dst]).reshape(3, n_heads, n)
        groups, mlp = np.zeros((n_heads, n + 1), bool), np.zeros(n + 1, bool)
        if inputs.any():
            heads = (inputs[0] | (inputs[1] | inputs[2]) @ sees.T) & useful[q : q + n_heads]
            first = graph.head_src(layer)
            touched |= (kept[first : first + n_heads] & heads[:, None]).any(0)
            groups = _grouped(heads, all_positions[q : q + n_heads])
            counts += groups.sum(0)
        if touched[dst].any():
            at = touched[dst] & useful[dst]
            touched |= kept[graph.mlp_src(layer)] & at
            mlp = _grouped(at[None], all_positions[dst][None])[0]
            counts += mlp
        layers.append(_layer(inputs, groups, mlp) if inputs.any() or mlp.any() else nothing)
    return Reach(tuple(layers), tuple(counts.tolist()), bool(touched[-1, -1]))


def _grouped(at: Bool[np.ndarray, "n span"], all_positions: Bool[np.ndarray, "n span"]) -> Bool[np.ndarray, "n groups"]:
    """By groups of rows what is by spans: in the last span at all positions or at the last alone."""
    return np.concatenate([at & all_positions, (at & ~all_positions)[:, -1:]], 1)


def _layer(
    inputs: Bool[np.ndarray, "kind head span"], heads: Bool[np.ndarray, "head groups"], mlp: Bool[np.ndarray, " groups"]
) -> LayerReach:
    """Queries are read where their heads are; keys and values at all positions of a span."""
    at_last = inputs[0, :, -1] & heads[:, -1]
    q, k, v = (np.concatenate([each, np.zeros_like(each[:, :1])], 1) for each in inputs)
    q[:, -2] &= ~at_last
    q[:, -1] = at_last
    found = {kind: _lists(each) for kind, each in zip(QKV, (q, k, v), strict=True)}
    return LayerReach(found, _lists(heads), tuple(np.flatnonzero(mlp).tolist()))


def _lists(heads: Bool[np.ndarray, "head groups"]) -> Groups:
    return tuple(np.flatnonzero(column).tolist() if column.any() else [] for column in heads.T)


def _nothing(n_spans: int) -> LayerReach:
    none: Groups = ([],) * (n_spans + 1)
    return LayerReach(dict.fromkeys(QKV, none), none, ())
