"""Circuits as ACDC's `.pth`: whether each edge of its graph is present, those inside nodes too.

The file is a dict, `{(receiver, index, sender, index): present}`.
"""

import math
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats.edge_lists import LONGEST, lost_scores
from acdc.circuits.formats.format import SHAPELESS, Format, Listed, ShapelessError
from acdc.circuits.formats.hooks import HookEdge, HookPoint, hook_of_destination, hook_of_source
from acdc.circuits.formats.torch_files import is_torch_file, load_plain, save_plain
from acdc.circuits.graph import QKV, Graph
from acdc.errors import CircuitError, shown

__all__ = ["CIRCUIT_FORMATS"]

Key = tuple[str, tuple[int | None, ...], str, tuple[int | None, ...]]


def _write(circuit: Circuit, path: Path) -> Path:
    """What ACDC's `save_subgraph` writes: a head's or MLP's inner edges are there if its input keeps an edge."""
    graph = circuit.graph
    if graph.parallel:
        raise CircuitError("ACDC's graph has no parallel blocks, so its .pth can't hold this circuit")
    kept, found = circuit.mask, dict[Key, bool]()
    for j, destination in enumerate(graph.destinations):
        receiver = hook_of_destination(graph, destination)
        for i in range(int(graph.upstream[j])):
            found[(*receiver, *hook_of_source(graph.sources[i]))] = bool(kept[i, j])
        for edge in _inner_edges(graph, destination):
            found[(*edge.receiver, *edge.sender)] = bool(kept[:, j].any())
    return save_plain(found, path)


def _inner_edges(graph: Graph, destination: str) -> list[HookEdge]:
    """The edges of ACDC's graph from a destination to its node's output."""
    if destination == "logits":
        return []
    entry, out = hook_of_destination(graph, destination), hook_of_source(graph.node_of(destination))
    kind = destination[-2] if destination.endswith(">") else ""
    if kind not in QKV:
        return [HookEdge(out, entry)]
    layer = graph.layer_of(destination)
    middle = HookPoint(f"blocks.{layer}.attn.hook_{kind}", entry.place)
    return [HookEdge(middle, entry), HookEdge(out, middle)]


def _read(content: bytes, expected: Graph | None, lossy: bool) -> Circuit:
    if expected is None:
        raise ShapelessError(SHAPELESS)
    data = load_plain(content)
    if not isinstance(data, dict):
        raise CircuitError(f"holds no circuit: expected a dict of edges, not {type(data).__name__}")
    found, n = Listed(expected), 0
    for key, present in data.items():
        edge = _hook_edge(key)
        if not isinstance(present, bool):
            raise CircuitError(f"{str(edge)!r} must be True or False, not {shown(present, 60)}")
        if not edge.is_inside_a_node:
            found.add(edge.edge(expected), present, math.nan)
            n += 1
    if n != expected.n_edges:
        raise CircuitError(
            f"names {n:,} edges of the residual stream where a graph of {expected.shape} has {expected.n_edges:,}: it "
            "belongs to another model"
        )
    return found.circuit({})


def _hook_edge(key: Any) -> HookEdge:
    """A key of ACDC's: (receiver, index, sender, index)."""
    parts: tuple[Any, ...] = key if isinstance(key, tuple) and len(key) == 4 else (None,) * 4
    names, indices = parts[::2], parts[1::2]
    if not all(isinstance(name, str) and len(name) <= LONGEST for name in names) or not all(map(_is_index, indices)):
        came = shown(key, 80)
        raise CircuitError(f"{came} is not an edge of ACDC's: expected (receiver, index, sender, index)")
    return HookEdge(HookPoint(parts[0], parts[1]), HookPoint(parts[2], parts[3]))


def _is_index(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= 3 and all(i is None or type(i) is int for i in value)


def _lost(circuit: Circuit) -> str:
    origin = "where the circuit comes from" if circuit.provenance else ""
    return " and ".join(filter(None, (lost_scores(circuit), origin)))


CIRCUIT_FORMATS = (
    Format(
        name="acdc-pth",
        summary="edges of ACDC (Conmy et al.) as its save_subgraph writes them",
        suffix=".pth",
        carries="mask of a graph without parallel blocks",
        recognises=lambda content: is_torch_file(content) and b"hook_resid_pre" in content,
        read=_read,
        write=_write,
        lost=_lost,
    ),
)
