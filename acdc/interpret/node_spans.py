"""At which spans the nodes of a circuit read and write, where its edges are split by span."""

from collections.abc import Sequence

from acdc.circuits.circuit import Circuit
from acdc.circuits.names import base_of, input_of, node_of, span_of
from acdc.interpret.draft import card
from acdc.interpret.explanation import NodeCard

__all__ = ["cards_at_spans"]


def cards_at_spans(circuit: Circuit, nodes: Sequence[str]) -> list[NodeCard]:
    """A card for each of these heads and MLPs: the spans of the kept edges into each of its inputs, and of those out of
    it, in the prompts' order; no cards for a circuit of whole edges."""
    graph = circuit.graph
    if not graph.spans:
        return []
    reads, writes = dict[str, dict[str, list[str]]](), dict[str, list[str]]()
    for dst, kept in zip(graph.destinations, circuit.mask.any(0).tolist(), strict=True):
        if kept:
            reads.setdefault(base_of(node_of(dst)), {}).setdefault(input_of(dst), []).append(span_of(dst))
    for site, kept in zip(graph.sites, graph.writing(circuit.mask).tolist(), strict=True):
        if kept:
            writes.setdefault(base_of(site), []).append(span_of(site))
    return [card(graph, name, reads_at=reads.get(name, {}), writes_at=writes.get(name, [])) for name in nodes]
