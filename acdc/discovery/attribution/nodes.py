"""Scores of nodes, and how they become scores of edges.

An edge gets the score of the weaker of its two ends, so that keeping edges above a threshold keeps exactly the edges
between the nodes above it; `input` and `logits` limit nothing.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph

__all__ = ["lift"]


def lift(graph: Graph, nodes: Float[Tensor, " src"]) -> Float[Tensor, "src dst"]:
    """Edges' scores from nodes' scores: at each edge the one of its ends' scores that is smaller in size.

    `input -> logits`, which no node limits, gets the largest size of all.

    Args:
        nodes: A score for every source; that of `input` isn't used.

    Returns:
        NaN where there is no edge.
    """
    ends = torch.stack([nodes[src] if src is not None else nodes.new_tensor(math.inf) for src in graph.src_of_dst])
    starts = nodes.clone()
    starts[0] = math.inf
    rows, columns = torch.broadcast_tensors(starts[:, None], ends[None, :])
    scores = torch.where(rows.abs() <= columns.abs(), rows, columns)
    scores = scores.masked_fill(scores.isinf(), float(nodes[1:].abs().max()))
    return scores.masked_fill(~graph.edges_mask, math.nan)
