"""Circuits as lists of edge names, as text or JSON, in the words of any tool that names edges.

As text: an edge a line, kept edges only, no scores. As JSON: kept edges with their scores under `edges`, removed ones
that were measured under `removed`. A header of ours says the model's shape; foreign lists have none, and need a graph.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

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
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError, printable, shown
from acdc.files import write_atomically

__all__ = ["LONGEST", "Entry", "Names", "fail_list", "json_format", "lost_scores", "text_format"]

HEADER = "# acdc "
LONGEST = 200  # letters of an edge's name
Entry = tuple[Any, Any]  # an edge as the tool writes it in JSON, and its score


@dataclass(frozen=True)
class Names:
    """How a tool names edges.

    Attributes:
        name, tool: The format's name, and whose names they are.
        sign: What a list of such edges holds and no other list does.
        to_text, from_text: An edge's name in its words and back; one of its edges may be several of ours, or none.
        pack: Edges with their scores, as JSON.
        unpack: The entries of such JSON, each edge's name as text.
        spans: Whether its names say the span of an edge.
    """

    name: str
    tool: str
    sign: re.Pattern[bytes]
    to_text: Callable[[Graph, str], str]
    from_text: Callable[[Graph, str], tuple[str, ...]]
    pack: Callable[[Iterable[tuple[str, float | str | None]]], Any]
    unpack: Callable[[Any], list[Entry]]
    spans: bool = False


def fail_list(value: Any) -> NoReturn:
    """Refuse JSON that is neither a list nor an object."""
    raise CircuitError(f"holds no edges: expected a list or an object, not {type(value).__name__}")


def text_format(names: Names) -> Format:
    """The format of an edge a line."""
    return Format(
        name=names.name,
        summary=f"edge names of {names.tool}, one a line",
        suffix=f".{names.name}.txt",
        carries="mask, spans" if names.spans else "mask",
        recognises=lambda content: content.lstrip()[:1] not in b"{[<" and _has_edges(names, content),
        read=lambda content, graph, lossy: _read_text(names, content, graph),
        write=lambda circuit, path: write_atomically(path, _text(names, circuit).encode()),
        lost=lost_scores,
        spans=names.spans,
    )


def json_format(names: Names) -> Format:
    """The format of edges with scores as JSON."""
    return Format(
        name=f"{names.name}-json",
        summary=f"edge names of {names.tool} with scores, as JSON",
        suffix=f".{names.name}.json",
        carries="mask, scores, spans" if names.spans else "mask, scores",
        recognises=lambda content: content.lstrip()[:1] in (b"{", b"[") and _has_edges(names, content),
        read=lambda content, graph, lossy: _read_json(names, content, graph),
        write=lambda circuit, path: write_atomically(path, _json(names, circuit).encode()),
        lost=nothing_lost,
        spans=names.spans,
    )


def _has_edges(names: Names, content: bytes) -> bool:
    return b"\0" not in content and names.sign.search(content) is not None


def lost_scores(circuit: Circuit) -> str:
    """`lost` of a format that holds a mask alone."""
    n = int(measured(circuit).sum())
    return f"the scores of {n:,} edges" if n else ""


def _text(names: Names, circuit: Circuit) -> str:
    lines = [names.to_text(circuit.graph, edge) for edge in circuit.edges]
    return "\n".join([HEADER + json.dumps(header_of(circuit) | {"scores": False}), *lines]) + "\n"


def _read_text(names: Names, content: bytes, expected: Graph | None) -> Circuit:
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise CircuitError("is not UTF-8 text") from None
    headers = (line.removeprefix(HEADER) for line in lines if line.startswith(HEADER))
    header = _object(parse_json(next(headers, "{}")))
    entries = [(line.strip(), None) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return _circuit(names, header, graph_of(header, expected), entries, [])


def _json(names: Names, circuit: Circuit) -> str:
    removed = measured(circuit) & ~circuit.mask
    lists = {"edges": circuit.mask, "removed": removed}
    packed = {key: names.pack(_entries(names, circuit, mask)) for key, mask in lists.items()}
    return json.dumps(header_of(circuit) | packed, indent=None, allow_nan=False) + "\n"


def _entries(names: Names, circuit: Circuit, mask: torch.Tensor) -> list[tuple[str, float | str | None]]:
    graph, scores = circuit.graph, circuit.scores
    values = [None] * int(mask.sum()) if scores is None else [_number(score) for score in scores[mask].tolist()]
    return [(names.to_text(graph, edge), score) for edge, score in zip(graph.edge_names(mask), values, strict=True)]


def _number(score: float) -> float | str | None:
    """JSON has no infinity, so it is written as text."""
    return None if math.isnan(score) else score if math.isfinite(score) else str(score)


def _read_json(names: Names, content: bytes, expected: Graph | None) -> Circuit:
    data = parse_json(content)
    ours = isinstance(data, dict) and "edges" in data
    header = {key: data[key] for key in ("cfg", "scores", "score_kind", "provenance") if key in data} if ours else {}
    edges, removed = (data["edges"], data.get("removed", [])) if ours else (data, [])
    return _circuit(names, header, graph_of(header, expected), names.unpack(edges), names.unpack(removed))


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise CircuitError(f"its header must be an object, not {type(value).__name__}")
    return value


def _circuit(names: Names, header: Mapping[str, Any], graph: Graph, kept: list[Entry], removed: list[Entry]) -> Circuit:
    found = Listed(graph)
    for entries, keep in ((kept, True), (removed, False)):
        for text, value in entries:
            if len(text) > LONGEST:
                raise CircuitError(
                    f"has an edge's name of {len(text):,} letters ({printable(text, 40)!r}); at most {LONGEST}"
                )
            score = _score(text, value)
            for edge in names.from_text(graph, text):
                found.add(edge, keep, score)
    return found.circuit(header)


def _score(edge: str, value: Any) -> float:
    if value is None:
        return math.nan
    if value in ("inf", "-inf") or (isinstance(value, int | float) and not isinstance(value, bool)):
        try:
            return float(value)
        except OverflowError:
            pass
    raise CircuitError(f"{edge!r} needs a number or null as its score, not {shown(value, 80)}")
