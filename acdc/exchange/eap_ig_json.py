"""Circuits as the JSON of EAP-IG and MIB, which is the format that `Circuit.save` writes."""

from pathlib import Path
from typing import Any

from acdc.circuit import Circuit
from acdc.errors import CircuitError
from acdc.exchange.format import Format, nothing_lost, parse_json, read_bytes
from acdc.graph import Graph

__all__ = ["EAP_IG"]


def _read(path: Path, expected: Graph | None, lossy: bool) -> Circuit:
    if not lossy and _has_node_scores(parse_json(read_bytes(path))):
        raise CircuitError("has scores of nodes, which a circuit doesn't hold; drop them with lossy=True (--lossy)")
    return Circuit.load(path, expected)


def _has_node_scores(data: Any) -> bool:
    nodes = data.get("nodes") if isinstance(data, dict) else None
    infos = nodes.values() if isinstance(nodes, dict) else ()
    # EAP-IG writes NaN for a node that has none; NaN alone differs from itself
    return any(isinstance(info, dict) and (s := info.get("score")) is not None and s == s for info in infos)


EAP_IG = Format(
    name="eap-ig",
    summary="JSON of EAP-IG and MIB (Graph.to_json), the format of circuit.json",
    suffix=".json",
    carries="mask, scores",
    recognises=lambda content: content.lstrip()[:1] == b"{" and b'"nodes"' in content and b'"edges"' in content,
    read=_read,
    write=lambda circuit, path: circuit.save(path),
    lost=nothing_lost,
)
