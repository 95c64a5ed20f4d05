"""The order in which ACDC tries the edges."""

import random
from collections.abc import Sequence
from typing import Annotated

from acdc.circuits.graph import QKV, Graph
from acdc.errors import unknown_name
from acdc.options.ranges import Checked
from acdc.patching.exact.state import Edge

__all__ = ["ORDERS", "Order", "check_order", "edge_order"]

ORDERS = ("late-first", "early-first", "random")


def check_order(name: str, *, of: str = "") -> None:
    """Check an order's name; `of` says what is ordered, for the message.

    Raises:
        UnknownNameError: No order has this name.
    """
    if name not in ORDERS:
        raise unknown_name(f"order of {of}" if of else "order", name, ORDERS)


Order = Annotated[str, Checked(check_order)]


def edge_order(graph: Graph, *, senders: str = "late-first", heads: str = "late-first", seed: int = 0) -> list[Edge]:
    """Every edge in the order in which ACDC tries it: for each destination, from the logits back, each source.

    Args:
        senders: Order of a destination's sources.
        heads: Order of the heads of a layer; q, k and v of a head follow each other, each at all spans.
        seed: Of random orders.
    """
    rng = random.Random(seed)
    sources, edges = _ordered(range(graph.n_src), senders, rng), list[Edge]()
    for dst in _destinations(graph, heads, rng):
        n_upstream = int(graph.upstream[dst])
        edges += [(src, dst) for src in sources if src < n_upstream]
    return edges


def _destinations(graph: Graph, heads: str, rng: random.Random) -> list[int]:
    found = [graph.n_dst - 1]
    for layer in reversed(range(graph.n_layers)):
        found += _at_spans(graph, graph.mlp_dst(layer))
        for h in _ordered(range(graph.n_heads), heads, rng):
            found += [dst for kind in QKV for dst in _at_spans(graph, graph.head_dst(layer, kind, h))]
    return found


def _at_spans(graph: Graph, first: int) -> list[int]:
    """A destination at all spans, the last one first."""
    return list(reversed(range(first, first + graph.n_spans)))


def _ordered(items: Sequence[int], order: str, rng: random.Random) -> list[int]:
    if order == "random":
        return rng.sample(items, len(items))
    return list(reversed(items)) if order == "late-first" else list(items)
