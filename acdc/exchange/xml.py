"""Circuits as GraphML and GEXF, through networkx: for Gephi, Cytoscape, yEd, igraph.

The graph holds every edge that is kept or measured, with the attributes `name`, `input` (q, k, v or empty), `kept`, and
`score` where it was measured. The shape of the model is JSON in the attribute `circuit` of the node `input`, since
networkx's GEXF keeps no attributes of a graph.
"""

import json
import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from acdc.circuit import Circuit
from acdc.errors import CircuitError
from acdc.exchange.format import (
    Format,
    from_header,
    graph_of,
    header_of,
    measured,
    nothing_lost,
    parse_json,
    read_bytes,
)
from acdc.files import write_atomically
from acdc.graph import Graph, input_of, kind_of

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["GEXF", "GRAPHML"]


def _to_networkx(circuit: Circuit) -> "nx.MultiDiGraph":
    import networkx as nx

    graph, found = circuit.graph, nx.MultiDiGraph()
    kept, scores, has_score = circuit.mask, circuit.scores, measured(circuit)
    shown, in_circuit = set(graph.node_names(kept | has_score)), set(circuit.nodes)
    for node in (*graph.sources, "logits"):
        if node in shown or node == "input":
            found.add_node(node, kind=kind_of(node), layer=graph.layer_of(node), in_circuit=node in in_circuit)
    found.nodes["input"]["circuit"] = json.dumps(header_of(circuit))
    for i, j in (kept | has_score).nonzero().tolist():
        dst, name = graph.destinations[j], graph.edge_name(i, j)
        attributes: dict[str, Any] = {"name": name, "input": input_of(dst), "kept": bool(kept[i, j])}
        if scores is not None and has_score[i, j]:
            attributes["score"] = float(scores[i, j])
        found.add_edge(graph.sources[i], graph.node_of(dst), key=name, **attributes)  # keys become ids, so they differ
    return found


def _from_networkx(found: Any, expected: Graph | None) -> Circuit:
    header = parse_json(str(found.nodes.get("input", {}).get("circuit", "{}")).encode())
    if not isinstance(header, dict):
        raise CircuitError(f"the attribute 'circuit' of its node 'input' must be an object, not {header!r}")
    if not found.is_directed():
        raise CircuitError("its graph is undirected; a circuit's edges have a direction")
    graph = graph_of(header, expected)
    mask = torch.zeros(graph.n_src, graph.n_dst, dtype=torch.bool)
    scores = torch.full(mask.shape, math.nan, dtype=torch.float64)
    for src, dst, data in found.edges(data=True):
        where = graph.parse_edge(_edge_name(src, dst, data))
        mask[where], scores[where] = _kept(data), _score(data)
    return from_header(header, graph, mask, scores)


def _edge_name(src: Any, dst: Any, data: dict[str, Any]) -> str:
    kind = data.get("input", "")
    name = f"{src}->{dst}" + (f"<{kind}>" if kind else "")
    if data.get("name", name) != name:
        raise CircuitError(f"the edge {name!r} is called {data['name']!r}")
    return name


def _kept(data: dict[str, Any]) -> bool:
    kept = data.get("kept", True)  # an edge of another tool's graph is in it
    if not isinstance(kept, bool):
        raise CircuitError(f"'kept' must be true or false, not {kept!r}")
    return kept


def _score(data: dict[str, Any]) -> float:
    score = data.get("score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise CircuitError(f"a score must be a number, not {score!r}")
    return math.nan if score is None else float(score)


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CircuitError(f"is no UTF-8 text: {error}") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can grow without end
        raise CircuitError("declares a document type, which is not read")
    return text


def _read(path: Path, expected: Graph | None, parse: Callable[[str], Any]) -> Circuit:
    text = _text(read_bytes(path))
    try:
        found = parse(text)
    except Exception as error:  # networkx lets errors of every kind through where a file is damaged
        raise CircuitError(f"is damaged: {type(error).__name__}: {error}") from None
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


GRAPHML = Format(
    name="graphml",
    summary="GraphML (networkx, Gephi, Cytoscape, yEd, igraph)",
    suffix=".graphml",
    carries="mask, scores",
    recognises=lambda content: b"<graphml" in content[:4096],
    read=lambda path, graph, lossy: _read(path, graph, _parse_graphml),
    write=_write_graphml,
    lost=nothing_lost,
)
GEXF = Format(
    name="gexf",
    summary="GEXF (Gephi, networkx)",
    suffix=".gexf",
    carries="mask, scores",
    recognises=lambda content: b"<gexf" in content[:4096],
    read=lambda path, graph, lossy: _read(path, graph, _parse_gexf),
    write=_write_gexf,
    lost=nothing_lost,
)
