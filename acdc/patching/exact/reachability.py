"""What a change can touch: reachability through kept edges, in numpy because the questions are small and many."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from acdc.circuits.graph import QKV, Graph

__all__ = ["LayerReach", "Reach", "Reading", "reach", "reading"]

Destinations = Bool[np.ndarray, " dst"]


@dataclass(frozen=True)
class Reading:
    """Where each destination's input matters.

    Attributes:
        useful: Its node has a path of kept edges to the logits.
        all_positions: It matters at all positions; else, if it is useful, at the last alone (fact 4).
    """

    useful: Destinations
    all_positions: Destinations


@dataclass(frozen=True)
class LayerReach:
    """What changes in one layer.

    Attributes:
        inputs: For q, k and v, the heads whose input changes.
        all_positions, last_position: Heads that change, by where their output is read.
        mlp: Whether the MLP changes.
        mlp_all_positions: Whether it does, and its output is read at all positions.
    """

    inputs: dict[str, list[int]]
    all_positions: list[int]
    last_position: list[int]
    mlp: bool
    mlp_all_positions: bool


@dataclass(frozen=True)
class Reach:
    """What changes downstream of some destinations.

    Attributes:
        layers: From the first layer on; layers before the change are empty.
        n_changed: Sources that change.
        n_all_positions: Those of them that are read at all positions.
        logits: Whether the logits change.
    """

    layers: tuple[LayerReach, ...]
    n_changed: int
    n_all_positions: int
    logits: bool

    def work(self, per_prompt: float) -> float:
        """Node-positions of a prompt that are computed, where so many of its positions can change."""
        return self.n_all_positions * per_prompt + self.n_changed - self.n_all_positions + 1


def reading(graph: Graph, mask: Bool[np.ndarray, "src dst"]) -> Reading:
    """Where each destination's input matters, from the logits back.

    A k or v of a useful head matters at all positions; a q or an MLP's input does if what its node writes is read by
    something that matters at all positions.
    """
    useful, all_positions = np.zeros(graph.n_dst, bool), np.zeros(graph.n_dst, bool)
    useful[-1] = True
    for layer in reversed(range(graph.n_layers)):
        mlp = graph.mlp_dst(layer)
        row = mask[graph.mlp_src(layer)]
        useful[mlp], all_positions[mlp] = (row & useful).any(), (row & all_positions).any()
        rows = mask[graph.head_src(layer) : graph.head_src(layer) + graph.n_heads]
        head_useful, head_all_positions = (rows & useful).any(1), (rows & all_positions).any(1)
        for kind in QKV:
            columns = slice(graph.head_dst(layer, kind), graph.head_dst(layer, kind) + graph.n_heads)
            useful[columns] = head_useful
            all_positions[columns] = head_all_positions if kind == "q" else head_useful
    return Reading(useful, all_positions)


def reach(graph: Graph, mask: Bool[np.ndarray, "src dst"], read: Reading, changed: Iterable[int]) -> Reach:
    """What changes when the inputs of the destinations `changed` do, without what has no use (facts 2, 3)."""
    touched = np.zeros(graph.n_dst, bool)
    touched[list(changed)] = True
    layers, n_changed, n_all_positions = [], 0, 0
    for layer in range(graph.n_layers):
        inputs = {kind: _heads(graph, layer, kind, touched & read.useful) for kind in QKV}
        heads = np.array(sorted({h for each in inputs.values() for h in each}), int)
        at_all = read.all_positions[graph.head_dst(layer, "q") + heads]
        touched |= mask[graph.head_src(layer) + heads].any(0)
        mlp = bool(touched[graph.mlp_dst(layer)] and read.useful[graph.mlp_dst(layer)])
        mlp_at_all = mlp and bool(read.all_positions[graph.mlp_dst(layer)])
        if mlp:
            touched |= mask[graph.mlp_src(layer)]
        layers.append(LayerReach(inputs, heads[at_all].tolist(), heads[~at_all].tolist(), mlp, mlp_at_all))
        n_changed += len(heads) + mlp
        n_all_positions += int(at_all.sum()) + mlp_at_all
    return Reach(tuple(layers), n_changed, n_all_positions, bool(touched[-1]))


def _heads(graph: Graph, layer: int, kind: str, touched: Destinations) -> list[int]:
    start = graph.head_dst(layer, kind)
    return np.flatnonzero(touched[start : start + graph.n_heads]).tolist()
