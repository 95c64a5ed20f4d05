"""Scores of nodes, and how they become scores of edges.

An edge gets the score of the weaker of its two ends, so that keeping edges above a threshold keeps exactly the edges
between the nodes above it; `input` and `logits` limit nothing. Where edges are split by span, nodes are sites: sources
at a span. A key or value belongs to its head at every span that attends to it, and gets the largest of their scores.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph

__all__ = ["lift"]


def lift(graph: Graph, nodes: Float[Tensor, " site"]) -> Float[Tensor, "src dst"]:
    """Edges' scores from nodes' scores: at each edge the one of its ends' scores that is smaller in size.

    `input -> logits`, which no node limits, gets the largest size of all.

    Args:
        nodes: A score for every source, or every site of a graph with spans; that of `input` isn't used.

    Returns:
        NaN where there is no edge.
    """
    n, starts = graph.n_spans, nodes.clone()
    ends = torch.stack([_largest(nodes, sites) for sites in graph.sites_of_dst])
    starts[:n] = math.inf
    rows, columns = torch.broadcast_tensors(graph.at_sites(starts), ends[None, :])
    scores = torch.where(rows.abs() <= columns.abs(), rows, columns)
    scores = scores.masked_fill(scores.isinf(), float(nodes[n:].abs().max()))
    return scores.masked_fill(~graph.edges_mask, math.nan)


def _largest(nodes: Float[Tensor, " site"], sites: tuple[int, ...]) -> Float[Tensor, ""]:
    """The score of the largest size of some sites'; of the logits, which limit nothing, infinite."""
    if not sites:
        return nodes.new_tensor(math.inf)
    return nodes[max(sites, key=lambda site: abs(float(nodes[site])))]
