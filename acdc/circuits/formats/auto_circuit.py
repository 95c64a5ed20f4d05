"""auto-circuit's names of edges, as pure functions on names: `Resid Start->A0.1.Q`, `A0.1->MLP 3`, `MLP 3->Resid End`.

Reference:
    Miller et al. 2024; `factorized_src_nodes` and `factorized_dest_nodes` in their code (`auto-circuit`).
"""

import re

from acdc.circuits.graph import QKV, Graph
from acdc.errors import CircuitError

__all__ = ["from_auto_circuit", "to_auto_circuit"]

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
        raise CircuitError(f"{name!r} is no edge: expected one like 'A0.1->A1.0.Q'")
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
    raise CircuitError(f"{name!r} is no source: expected 'Resid Start', 'A0.1' or 'MLP 3'")


def _from_destination(name: str) -> tuple[str, ...]:
    if name == END:
        return ("logits",)
    if match := re.fullmatch(r"A(\d+)\.(\d+)(?:\.([QKV]))?", name):
        kinds = match[3].lower() if match[3] else QKV
        return tuple(f"a{int(match[1])}.h{int(match[2])}<{kind}>" for kind in kinds)
    if match := re.fullmatch(r"MLP (\d+)", name):
        return (f"m{int(match[1])}",)
    raise CircuitError(f"{name!r} is no destination: expected 'A1.0.Q', 'MLP 3' or 'Resid End'")
