"""Circuits as lists of ACDC's edges, as text (`sender -> receiver`) and as JSON (what its `save_edges` pickles)."""

import re
from collections.abc import Iterable
from typing import Any

from acdc.circuits.formats.edge_lists import Entry, Names, fail_list, json_format, text_format
from acdc.circuits.formats.hooks import HookEdge, HookPoint
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError, shown

__all__ = ["CIRCUIT_FORMATS"]


def _hook_edges(graph: Graph, text: str) -> tuple[str, ...]:
    edge = HookEdge.parse(text)
    return () if edge.is_inside_a_node else (edge.edge(graph),)


def _pack_hooks(entries: Iterable[tuple[str, float | str | None]]) -> list[Any]:
    """`[[receiver, index, sender, index], effect]`: what ACDC's `save_edges` pickles."""
    edges = ((HookEdge.parse(text), score) for text, score in entries)
    return [[[*edge.receiver, *edge.sender], score] for edge, score in edges]


def _unpack_hooks(value: Any) -> list[Entry]:
    if isinstance(value, dict):
        return list(value.items())
    return [_hook_entry(item) for item in value] if isinstance(value, list) else fail_list(value)


def _hook_entry(item: Any) -> Entry:
    """An edge as text or as `[receiver, index, sender, index]`, alone or with its effect."""
    alone = isinstance(item, str) or (isinstance(item, list) and len(item) == 4)
    edge, score = (item, None) if alone else item if isinstance(item, list) and len(item) == 2 else (None, None)
    if isinstance(edge, list) and len(edge) == 4:
        receiver, sender = (_hook_point(*edge[i : i + 2]) for i in (0, 2))
        return str(HookEdge(receiver, sender)), score
    if not isinstance(edge, str):
        raise CircuitError(
            f"{shown(item, 80)} is not an edge: expected [receiver, index, sender, index], or that with its effect"
        )
    return edge, score


def _hook_point(name: Any, index: Any) -> HookPoint:
    if isinstance(name, str) and isinstance(index, str):
        return HookPoint.parse(name + index)
    numbers = isinstance(index, list) and all(i is None or type(i) is int for i in index)
    if not isinstance(name, str) or not numbers:
        raise CircuitError(
            f"{shown([name, index], 80)} is not a hook point: expected one like ['blocks.0.hook_mlp_in', [null]]"
        )
    return HookPoint(name, tuple(index))


NAMES = Names(
    name="acdc",
    tool="ACDC (Conmy et al.)",
    sign=re.compile(rb"\bhook_[a-z]"),
    to_text=lambda graph, edge: str(HookEdge.of(graph, edge)),
    from_text=_hook_edges,
    pack=_pack_hooks,
    unpack=_unpack_hooks,
)
CIRCUIT_FORMATS = (json_format(NAMES), text_format(NAMES))
