"""What a change can touch: reachability through kept edges, in numpy because the questions are small and many."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.circuits.graph import QKV, Graph

__all__ = ["LayerReach", "Reach", "Reading", "reach", "reading"]

Rows = Bool[np.ndarray, " src"]
Columns = Bool[np.ndarray, " dst"]


@dataclass(frozen=True)
class Reading:
    """How the circuit reads each destination.

    Attributes:
        useful: It has an effect on the logits: its node has a path to them.
        everywhere: It is read at all positions; else at the target alone (fact 4).
    """

    useful: Columns
    everywhere: Columns


@dataclass(frozen=True)
class LayerReach:
    """What changes in one layer.

    Attributes:
        inputs: For q, k and v, the heads whose input changes.
        everywhere, target: Heads that change, by where their output is read.
        mlp: Whether the MLP changes; `mlp_everywhere`: whether its output is read everywhere.
    """

    inputs: dict[str, list[int]]
    everywhere: list[int]
    target: list[int]
    mlp: bool
    mlp_everywhere: bool


@dataclass(frozen=True)
class Reach:
    """What changes downstream of some destinations.

    Attributes:
        layers: From the first layer on; layers before the change are empty.
        n_changed: Sources that change; `n_everywhere` of them are read at all positions.
        logits: Whether the logits change.
    """

    layers: tuple[LayerReach, ...]
    n_changed: int
    n_everywhere: int
    logits: bool

    def work(self, width: float) -> float:
        """Node-positions of a prompt that are computed, where `width` of its positions can change."""
        return self.n_everywhere * width + self.n_changed - self.n_everywhere + 1


def reading(graph: Graph, mask: Bool[np.ndarray, "src dst"]) -> Reading:
    """Where each destination is read, from the logits back.

    A node's output is needed everywhere if a useful k or v reads it, or a q or MLP that is itself needed everywhere.
    """
    useful, everywhere = np.zeros(graph.n_dst, bool), np.zeros(graph.n_dst, bool)
    useful[-1] = True
    for layer in reversed(range(graph.n_layers)):
        mlp = graph.mlp_dst(layer)
        row = mask[graph.mlp_src(layer)]
        useful[mlp], everywhere[mlp] = (row & useful).any(), (row & everywhere).any()
        rows = mask[graph.head_src(layer) : graph.head_src(layer) + graph.n_heads]
        head_useful, head_everywhere = (rows & useful).any(1), (rows & everywhere).any(1)
        for kind in QKV:
            columns = slice(graph.head_dst(layer, kind), graph.head_dst(layer, kind) + graph.n_heads)
            useful[columns] = head_useful
            everywhere[columns] = head_everywhere if kind == "q" else head_useful
    return Reading(useful, everywhere)


def reach(graph: Graph, mask: Bool[np.ndarray, "src dst"], read: Reading, changed: Iterable[int]) -> Reach:
    """What changes when the inputs of the destinations `changed` do, without what has no use (facts 2, 3)."""
    touched = np.zeros(graph.n_dst, bool)
    touched[list(changed)] = True
    layers, n_changed, n_everywhere = [], 0, 0
    for layer in range(graph.n_layers):
        inputs = {kind: _heads(graph, layer, kind, touched & read.useful) for kind in QKV}
        heads = np.array(sorted({h for each in inputs.values() for h in each}), int)
        wide = read.everywhere[graph.head_dst(layer, "q") + heads]
        touched |= mask[graph.head_src(layer) + heads].any(0)
        mlp = bool(touched[graph.mlp_dst(layer)] and read.useful[graph.mlp_dst(layer)])
        mlp_wide = mlp and bool(read.everywhere[graph.mlp_dst(layer)])
        if mlp:
            touched |= mask[graph.mlp_src(layer)]
        layers.append(LayerReach(inputs, heads[wide].tolist(), heads[~wide].tolist(), mlp, mlp_wide))
        n_changed += len(heads) + mlp
        n_everywhere += int(wide.sum()) + mlp_wide
    return Reach(tuple(layers), n_changed, n_everywhere, bool(touched[-1]))


def _heads(graph: Graph, layer: int, kind: str, touched: Columns) -> list[int]:
    start = graph.head_dst(layer, kind)
    return np.flatnonzero(touched[start : start + graph.n_heads]).tolist()
