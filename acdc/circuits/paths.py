"""Which parts of a circuit lie on a path, in numpy because the questions are small and many.

Kept edges are `[src, destination, span]`. Nothing crosses spans but attention: a head's output at a span depends on its
query there, and on its keys and values at every span that this one attends to.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

if TYPE_CHECKING:
    from acdc.circuits.graph import Graph

__all__ = ["reached_sites", "useful_destinations"]

Kept = Bool[np.ndarray, "src destination span"]


def useful_destinations(graph: "Graph", kept: Kept) -> Bool[np.ndarray, "destination span"]:
    """The destinations that a path of kept edges joins to the logits, the logits themselves included."""
    whole, sees = graph.whole, np.array(graph.sees)
    useful = np.zeros(kept.shape[1:], bool)
    useful[-1, -1] = True
    for layer in reversed(range(graph.n_layers)):
        useful[whole.mlp_dst(layer)] = (kept[graph.mlp_src(layer)] & useful).any(0)
        heads = (kept[graph.head_src(layer) : graph.mlp_src(layer)] & useful).any(1)
        q, k, v = (whole.head_dst(layer, kind) for kind in "qkv")
        useful[q:k] = heads
        useful[k:v] = useful[v : v + graph.n_heads] = heads @ sees
    return useful


def reached_sites(graph: "Graph", kept: Kept) -> Bool[np.ndarray, "src span"]:
    """The sources, at spans, that a path of kept edges joins to the input, the input itself included."""
    whole, sees = graph.whole, np.array(graph.sees)
    reached = np.zeros((len(kept), graph.n_spans), bool)
    reached[0] = True
    for layer in range(graph.n_layers):
        q, k, v, mlp = (*(whole.head_dst(layer, kind) for kind in "qkv"), whole.mlp_dst(layer))
        first, last = graph.head_src(layer), graph.mlp_src(layer)
        of_heads = np.logical_or.reduce(kept[:first, q:mlp] & reached[:first, None])  # [kind_head span]
        crossing = of_heads[k - q : v - q] | of_heads[v - q :]
        reached[first:last] = of_heads[: k - q] | crossing @ sees.T
        reached[last] = (kept[:last, mlp] & reached[:last]).any(0)
    return reached
