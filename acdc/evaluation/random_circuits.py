"""Circuits drawn at random, of which every edge lies on a path: what a found circuit is compared with."""

import random

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.errors import CircuitError
from acdc.patching.exact.state import Edge

__all__ = ["degree_matched", "inflated", "random_path", "size_matched"]

ATTEMPTS = 50


def random_path(graph: Graph, rng: random.Random) -> list[Edge]:
    """A path from `input` to `logits`, drawn from the logits back: each time any source, then any of its inputs."""
    path, dst = list[Edge](), graph.n_dst - 1
    while True:
        src = rng.randrange(int(graph.upstream[dst]))
        path.append((src, dst))
        if src == 0:
            return path[::-1]
        dst = rng.choice(graph.dsts_of_site[graph.site(src, dst)])


def inflated(
    graph: Graph, mask: Bool[Tensor, "src dst"], rng: random.Random
) -> tuple[Bool[Tensor, "src dst"], list[Edge]]:
    """The circuit with one more random path, and the edges that the path added: at least one.

    Raises:
        CircuitError: The circuit keeps nearly all edges: no path was found that adds one.

    Reference:
        Shi et al. 2024, section 3.1 (the minimality test).
    """
    for _ in range(ATTEMPTS):
        added = [edge for edge in random_path(graph, rng) if not mask[edge]]
        if added:
            larger = mask.clone()
            larger[tuple(zip(*added, strict=True))] = True
            return larger, added
    raise CircuitError("the circuit keeps nearly every edge, so no random path adds one to it")


def size_matched(graph: Graph, n_edges: int, rng: random.Random) -> Bool[Tensor, "src dst"]:
    """A random circuit of `n_edges` edges, all of them on paths from `input` to `logits`: a union of random paths.

    Paths are added while they fit; what is then missing is filled with random edges between nodes that are on paths.
    """
    mask, size, failed = torch.zeros(graph.n_src, graph.n_dst, dtype=torch.bool), 0, 0
    while size < n_edges and failed < ATTEMPTS:
        added = [edge for edge in random_path(graph, rng) if not mask[edge]]
        if not added or size + len(added) > n_edges:
            failed += 1
            continue
        mask[tuple(zip(*added, strict=True))] = True
        size += len(added)
    live = graph.writing(mask)
    ends = torch.tensor([not sites or bool(live[list(sites)].any()) for sites in graph.sites_of_dst])
    open_edges = (graph.edges_mask & graph.at_sites(live) & ends[None, :] & ~mask).nonzero().tolist()
    for edge in rng.sample(open_edges, min(n_edges - size, len(open_edges))):
        mask[tuple(edge)] = True
    return mask


def degree_matched(
    graph: Graph, mask: Bool[Tensor, "src dst"], rng: random.Random, *, swaps: int | None = None
) -> Bool[Tensor, "src dst"]:
    """A random circuit in which every source has as many readers, and every destination as many sources, as in `mask`.

    A walk of swaps: two kept edges `s -> d` and `t -> e` become `s -> e` and `t -> d`, if these exist and aren't kept,
    and stay in their span.

    Args:
        swaps: Steps of the walk that are tried; 20 an edge if None.

    Reference:
        Milo et al. 2003, On the uniform generation of random graphs with prescribed degree sequences.
    """
    found, edges = mask.clone(), [(i, j) for i, j in mask.nonzero().tolist()]
    upstream = graph.upstream.tolist()
    if len(edges) < 2:
        return found
    for _ in range(20 * len(edges) if swaps is None else swaps):
        a, b = rng.sample(range(len(edges)), 2)
        (s, d), (t, e) = edges[a], edges[b]
        if (
            s == t
            or d == e
            or (d - e) % graph.n_spans
            or s >= upstream[e]
            or t >= upstream[d]
            or found[s, e]
            or found[t, d]
        ):
            continue
        found[s, d] = found[t, e] = False
        found[s, e] = found[t, d] = True
        edges[a], edges[b] = (s, e), (t, d)
    return found
