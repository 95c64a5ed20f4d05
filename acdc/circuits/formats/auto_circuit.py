"""Circuits as lists of auto-circuit's edges: `Resid Start->A0.1.Q`, `A0.1->MLP 3`, `MLP 3->Resid End`.

Edges that are split by spans have the span's number before them, `4: A0.1->MLP 3`, which is auto-circuit's `seq_idx`
where every position is a span. In JSON they stand under it, as in its `edge_name_dict`: `{"4": {"A0.1->MLP 3": 0.1}}`;
an edge with a list of its positions is read too, `{"A0.1->MLP 3": [4, 7]}`.

Reference:
    Miller et al. 2024; `factorized_src_nodes` and `factorized_dest_nodes` in their code (`auto-circuit`).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from acdc.circuits.formats.edge_lists import Entry, Names, fail_list, json_format, text_format
from acdc.circuits.graph import QKV, Graph, base_of, span_of
from acdc.errors import CircuitError, shown

__all__ = ["CIRCUIT_FORMATS", "from_auto_circuit", "to_auto_circuit"]

START, END = "Resid Start", "Resid End"
NUMBER = re.compile(r"[0-9]{1,7}")


def to_auto_circuit(edge: str, spans: Sequence[str] = ()) -> str:
    """An edge's name in auto-circuit's words.

    Args:
        spans: Those by which the graph's edges are split.

    >>> to_auto_circuit("a0.h1->a1.h0<q>"), to_auto_circuit("input->m0"), to_auto_circuit("m3->logits")
    ('A0.1->A1.0.Q', 'Resid Start->MLP 0', 'MLP 3->Resid End')
    >>> to_auto_circuit("m3->logits@end", ["name", "end"])
    '1: MLP 3->Resid End'
    """
    src, _, dst = base_of(edge).partition("->")
    place = f"{spans.index(span_of(edge))}: " if spans else ""
    return f"{place}{_to_node(src)}->{_to_node(dst)}"


def from_auto_circuit(graph: Graph, name: str) -> tuple[str, ...]:
    """The edges that an edge of auto-circuit is; three where a head's q, k and v inputs are one there.

    Raises:
        CircuitError: The graph has no such edge.

    >>> from_auto_circuit(Graph(2, 2, 8), "A0.1->A1.0")
    ('a0.h1->a1.h0<q>', 'a0.h1->a1.h0<k>', 'a0.h1->a1.h0<v>')
    """
    edge, place = _placed(graph, name)
    src, arrow, dst = (part.strip() for part in edge.partition("->"))
    if not arrow:
        raise CircuitError(f"{name!r} is not an edge: expected one like 'A0.1->A1.0.Q'")
    edges = tuple(f"{_from_source(src)}->{end}{place}" for end in _from_destination(dst))
    for found in edges:
        try:
            graph.parse_edge(found)
        except CircuitError as error:
            raise CircuitError(f"{name!r}: {error}") from None
    return edges


def _parted(name: str) -> tuple[str | None, str]:
    """The number before an edge's name, if there is one, and the name."""
    number, colon, edge = name.partition(":")
    return (number, edge.strip()) if colon and NUMBER.fullmatch(number) else (None, name)


def _placed(graph: Graph, name: str) -> tuple[str, str]:
    """An edge's name without its span's number, and how our name of it ends."""
    number, edge = _parted(name)
    if number is None and not graph.spans:
        return edge, ""
    if number is None:
        raise CircuitError(f"{name!r} says no position, and the graph's edges are split by spans")
    if not graph.spans:
        raise CircuitError(
            f"{name!r} is of one position; give a circuit or a run whose edges are split by span (graph=, --graph)"
        )
    if int(number) >= len(graph.spans):
        raise CircuitError(f"{name!r}: the graph has only the spans 0 to {len(graph.spans) - 1}")
    return edge, f"@{graph.spans[int(number)]}"


def _to_node(node: str) -> str:
    if node in ("input", "logits"):
        return START if node == "input" else END
    match = re.fullmatch(r"a(\d+)\.h(\d+)(?:<([qkv])>)?", node)
    if match is None:
        return f"MLP {node[1:]}"
    return f"A{match[1]}.{match[2]}" + (f".{match[3].upper()}" if match[3] else "")


def _from_source(name: str) -> str:
    if name == START:
        return "input"
    if match := re.fullmatch(r"A(\d+)\.(\d+)", name):
        return f"a{int(match[1])}.h{int(match[2])}"
    if match := re.fullmatch(r"MLP (\d+)", name):
        return f"m{int(match[1])}"
    raise CircuitError(f"{name!r} is not a source: expected 'Resid Start', 'A0.1' or 'MLP 3'")


def _from_destination(name: str) -> tuple[str, ...]:
    if name == END:
        return ("logits",)
    if match := re.fullmatch(r"A(\d+)\.(\d+)(?:\.([QKV]))?", name):
        kinds = match[3].lower() if match[3] else QKV
        return tuple(f"a{int(match[1])}.h{int(match[2])}<{kind}>" for kind in kinds)
    if match := re.fullmatch(r"MLP (\d+)", name):
        return (f"m{int(match[1])}",)
    raise CircuitError(f"{name!r} is not a destination: expected 'A1.0.Q', 'MLP 3' or 'Resid End'")


def _pack_names(entries: Iterable[tuple[str, float | str | None]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, score in entries:
        number, edge = _parted(name)
        (found if number is None else found.setdefault(number, {}))[edge] = score
    return found


def _unpack_names(value: Any) -> list[Entry]:
    if isinstance(value, dict):
        return [entry for key, inner in value.items() for entry in _unpack_pair(key, inner)]
    if not isinstance(value, list):
        fail_list(value)
    return [(_unpack_item(item), None) for item in value]


def _unpack_pair(key: str, value: Any) -> list[Entry]:
    """An edge with its score, or with its positions; or a position with its edges."""
    if isinstance(value, dict):
        return [(f"{_position(key)}: {edge}", score) for edge, score in value.items()]
    if isinstance(value, list):
        return [(f"{_position(number)}: {key}", None) for number in value]
    return [(key, value)]


def _unpack_item(item: Any) -> str:
    """An edge's name, or a position and its name."""
    if isinstance(item, list) and len(item) == 2 and isinstance(item[1], str):
        return f"{_position(item[0])}: {item[1]}"
    if not isinstance(item, str):
        raise CircuitError(f"{shown(item, 80)} is not an edge: expected a name like 'A0.1->A1.0.Q'")
    return item


def _position(value: Any) -> str:
    number = str(value) if type(value) is int else value
    if not isinstance(number, str) or not NUMBER.fullmatch(number):
        raise CircuitError(f"{shown(value, 80)} is not a position: expected a number from 0 on")
    return number


NAMES = Names(
    name="auto-circuit",
    tool="auto-circuit (Miller et al.)",
    sign=re.compile(rb"(?:Resid Start|MLP \d+|A\d+\.\d+)\s*->"),
    to_text=lambda graph, edge: to_auto_circuit(edge, graph.spans),
    from_text=from_auto_circuit,
    pack=_pack_names,
    unpack=_unpack_names,
    spans=True,
)
CIRCUIT_FORMATS = (json_format(NAMES), text_format(NAMES))
