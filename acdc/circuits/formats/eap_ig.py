"""Circuits as the JSON of EAP-IG and MIB, every edge with its line, and as ours, a compact form of it with spans."""

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats.format import Format, nothing_lost, parse_json
from acdc.circuits.graph import Graph

__all__ = ["CIRCUIT_FORMATS"]


def _read(content: bytes, expected: Graph | None, lossy: bool) -> Circuit:
    # EAP-IG writes NaN for a node that has no score, and for an edge whose score isn't a number
    return Circuit.from_json(parse_json(content, allow_nan=True), expected, node_scores=lossy)


CIRCUIT_FORMATS = (
    Format(
        name="eap-ig",
        summary="JSON of EAP-IG and MIB (Graph.to_json), a line for every edge; reads circuit.json too",
        suffix=".json",
        carries="mask, scores",
        recognises=lambda content: content.lstrip()[:1] == b"{" and b'"nodes"' in content and b'"edges"' in content,
        read=_read,
        write=lambda circuit, path: circuit.save(path, full=True),
        lost=nothing_lost,
        order=0,
    ),
    Format(
        name="circuit-json",
        summary="a run's circuit.json: compact, with the spans by which edges are split",
        suffix=".circuit.json",
        carries="mask, scores, spans",
        recognises=lambda content: content.lstrip()[:1] == b"{" and b'"nodes"' in content and b'"edges"' in content,
        read=_read,
        write=lambda circuit, path: circuit.save(path),
        lost=nothing_lost,
        spans=True,
    ),
)
