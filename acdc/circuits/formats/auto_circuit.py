"""Circuits as lists of auto-circuit's edges: `Resid Start->A0.1.Q`, `A0.1->MLP 3`, `MLP 3->Resid End`.

Reference:
    Miller et al. 2024; `factorized_src_nodes` and `factorized_dest_nodes` in their code (`auto-circuit`).
"""

import re
from typing import Any

from acdc.circuits.formats.edge_lists import Entry, Names, fail_list, json_format, text_format
from acdc.circuits.graph import QKV, Graph
from acdc.errors import CircuitError, shown

__all__ = ["CIRCUIT_FORMATS", "from_auto_circuit", "to_auto_circuit"]

START, END = "Resid Start", "Resid End"


def to_auto_circuit(edge: str) -> str:
    """An edge's name in auto-circuit's words.

    >>> to_auto_circuit("a0.h1->a1.h0<q>"), to_auto_circuit("input->m0"), to_auto_circuit("m3->logits")
    ('A0.1->A1.0.Q', 'Resid Start->MLP 0', 'MLP 3->Resid End')
    """
    src, _, dst = edge.partition("->")
    return f"{_to_node(src)}->{_to_node(dst)}"


def from_auto_circuit(graph: Graph, name: str) -> tuple[str, ...]:
    """The edges that an edge of auto-circuit is; three where a head's q, k and v inputs are one there.

    Raises:
        CircuitError: The graph has no such edge.

    >>> from_auto_circuit(Graph(2, 2, 8), "A0.1->A1.0")
    ('a0.h1->a1.h0<q>', 'a0.h1->a1.h0<k>', 'a0.h1->a1.h0<v>')
    """
    src, arrow, dst = (part.strip() for part in name.partition("->"))
    if not arrow:
        raise CircuitError(f"{name!r} is not an edge: expected one like 'A0.1->A1.0.Q'")
    edges = tuple(f"{_from_source(src)}->{end}" for end in _from_destination(dst))
    for edge in edges:
        try:
            graph.parse_edge(edge)
        except CircuitError as error:
            raise CircuitError(f"{name!r}: {error}") from None
    return edges


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


def _unpack_names(value: Any) -> list[Entry]:
    if isinstance(value, dict):
        return list(value.items())
    if not isinstance(value, list):
        fail_list(value)
    for item in value:
        if isinstance(item, list) and len(item) == 2 and type(item[0]) is int:
            raise CircuitError(f"{shown(item, 80)} is of one position: edges of single positions can't be carried")
        if not isinstance(item, str):
            raise CircuitError(f"{shown(item, 80)} is not an edge: expected a name like 'A0.1->A1.0.Q'")
    return [(item, None) for item in value]


NAMES = Names(
    name="auto-circuit",
    tool="auto-circuit (Miller et al.)",
    sign=re.compile(rb"(?:Resid Start|MLP \d+|A\d+\.\d+)\s*->"),
    to_text=lambda graph, edge: to_auto_circuit(edge),
    from_text=from_auto_circuit,
    pack=dict,
    unpack=_unpack_names,
)
CIRCUIT_FORMATS = (json_format(NAMES), text_format(NAMES))
