"""Circuits as GraphML and GEXF, through networkx: for Gephi, Cytoscape, yEd, igraph.

The graph holds every edge that is kept or measured, with the attributes `name`, `input` (q, k, v or empty), `kept`, and
`score` where it was measured. Edges that are split by spans join nodes of one span, which is the nodes' attribute
`span`. The shape of the model is JSON in the attribute `circuit` of the node `input`, since networkx's GEXF keeps no
attributes of a graph.
"""

import json
import math
import re
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats.format import (
    Format,
    Listed,
    graph_of,
    header_of,
    measured,
    nothing_lost,
    parse_json,
)
from acdc.circuits.graph import Graph, base_of, span_of
from acdc.circuits.views import to_networkx
from acdc.circuits.weighted import weighted_graph
from acdc.errors import CircuitError, printable, shown
from acdc.files import write_atomically

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["CIRCUIT_FORMATS"]

MAX_BYTES = 2**29  # as a graph in memory, XML takes several times its size
DECLARED = re.compile(r"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"'>]*)")


def _to_networkx(circuit: Circuit) -> "nx.MultiDiGraph":
    import networkx as nx

    viewed = to_networkx(weighted_graph(circuit, edges=circuit.mask | measured(circuit)))
    found = nx.MultiDiGraph()
    found.add_nodes_from([("input", {"kind": "input", "layer": -1, "in_circuit": False}), *viewed.nodes(data=True)])
    found.nodes["input"]["circuit"] = json.dumps(header_of(circuit))
    # keys become ids, so they differ
    found.add_edges_from((src, dst, data["name"], data) for src, dst, data in viewed.edges(data=True))
    return found


def _from_networkx(found: Any, expected: Graph | None) -> Circuit:
    header = parse_json(str(found.nodes.get("input", {}).get("circuit", "{}")))
    if not isinstance(header, dict):
        raise CircuitError(f"the attribute 'circuit' of its node 'input' must be an object, not {shown(header, 80)}")
    if not found.is_directed():
        raise CircuitError("its graph is undirected; a circuit's edges have a direction")
    listed = Listed(graph_of(header, expected))
    for src, dst, data in found.edges(data=True):
        listed.add(_edge_name(src, dst, data), _kept(data), _score(data))
    return listed.circuit(header)


def _edge_name(src: Any, dst: Any, data: dict[str, Any]) -> str:
    kind, span = data.get("input", ""), span_of(str(dst))
    if span_of(str(src)) != span:
        raise CircuitError(f"an edge joins {shown(src, 60)} and {shown(dst, 60)}, which are of two spans")
    name = f"{base_of(str(src))}->{base_of(str(dst))}" + (f"<{kind}>" if kind else "") + (f"@{span}" if span else "")
    if data.get("name", name) != name:
        raise CircuitError(f"the edge {shown(name, 80)} is called {shown(data['name'], 80)}")
    return name


def _kept(data: dict[str, Any]) -> bool:
    kept = data.get("kept", True)  # an edge of another tool's graph is in it
    if not isinstance(kept, bool):
        raise CircuitError(f"'kept' must be true or false, not {shown(kept, 80)}")
    return kept


def _score(data: dict[str, Any]) -> float:
    score = data.get("score")
    if score is None:
        return math.nan
    try:
        if not isinstance(score, bool) and isinstance(score, int | float):
            return float(score)
    except OverflowError:
        pass
    raise CircuitError(f"a score must be a number, not {shown(score, 80)}")


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise CircuitError(f"has {len(content):,} bytes of XML, more than the {MAX_BYTES:,} that are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CircuitError("is not UTF-8 text") from None
    if (declared := DECLARED.match(text)) and declared[1].lower() not in ("utf-8", "us-ascii", "ascii"):
        raise CircuitError(
            f"is declared as {shown(declared[1], 80)}; only UTF-8 is read"
        )  # the next check would see nothing
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can grow without end
        raise CircuitError("declares a document type, which is not read")
    return text


def _read(content: bytes, expected: Graph | None, parse: Callable[[str], Any]) -> Circuit:
    text = _text(content)
    try:
        with warnings.catch_warnings(action="ignore"):  # networkx's doubts about a file; what it refuses, it raises
            found = parse(text)
    except Exception as error:  # networkx lets errors of every kind through where a file is damaged
        raise CircuitError(f"is damaged: {type(error).__name__}: {printable(str(error), 200)}") from None
    return _from_networkx(found, expected)


def _parse_graphml(text: str) -> Any:
    import networkx as nx

    return nx.parse_graphml(text, force_multigraph=True)


def _parse_gexf(text: str) -> Any:
    import networkx as nx

    return nx.read_gexf(BytesIO(text.encode()))


def _write_graphml(circuit: Circuit, path: Path) -> Path:
    import networkx as nx

    return write_atomically(path, ("\n".join(nx.generate_graphml(_to_networkx(circuit))) + "\n").encode())


def _write_gexf(circuit: Circuit, path: Path) -> Path:
    import networkx as nx

    return write_atomically(path, ("\n".join(nx.generate_gexf(_to_networkx(circuit))) + "\n").encode())


CIRCUIT_FORMATS = (
    Format(
        name="graphml",
        summary="GraphML (networkx, Gephi, Cytoscape, yEd, igraph)",
        suffix=".graphml",
        carries="mask, scores, spans",
        recognises=lambda content: b"<graphml" in content[:4096],
        read=lambda content, graph, lossy: _read(content, graph, _parse_graphml),
        write=_write_graphml,
        lost=nothing_lost,
        spans=True,
    ),
    Format(
        name="gexf",
        summary="GEXF (Gephi, networkx)",
        suffix=".gexf",
        carries="mask, scores, spans",
        recognises=lambda content: b"<gexf" in content[:4096],
        read=lambda content, graph, lossy: _read(content, graph, _parse_gexf),
        write=_write_gexf,
        lost=nothing_lost,
        spans=True,
    ),
)
