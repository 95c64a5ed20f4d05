"""The table twins of the graph: its edges and its nodes."""

from collections import Counter

from acdc.circuits.influence import influence
from acdc.circuits.names import span_of
from acdc.circuits.weighted import WeightedGraph
from acdc.errors import counted
from acdc.interpret.explanation import NodeCard
from acdc.report.findings import Findings
from acdc.report.graph import role_of
from acdc.report.table import Cell, Table
from acdc.report.text import estimate, number

__all__ = ["edge_table", "node_table", "verdict"]

MOST_ROWS = 1000


def edge_table(findings: Findings, graph: WeightedGraph) -> Table:
    """The edges, the strongest first."""
    values, split = influence(graph).edges, bool(findings.circuit.graph.spans)
    order = sorted(range(len(graph.edges)), key=lambda i: (-abs(graph.edges[i].weight or 0.0), -values[i]))
    rows = []
    for i in order[:MOST_ROWS]:
        edge = graph.edges[i]
        rows.append(
            (
                Cell(edge.name),
                Cell(edge.src, node=edge.src),
                Cell(edge.dst, node=edge.dst),
                Cell(edge.input),
                *([Cell(span_of(edge.name))] if split else []),
                Cell(number(edge.weight, sign=True), edge.weight),
                Cell(number(values[i]), values[i]),
            )
        )
    n = findings.circuit.n_edges
    left_out = f"the {len(rows):,} strongest of {counted(n, 'edge')}; edges.csv has more" if n > len(rows) else ""
    spans = ("span",) if split else ()
    heads = ("edge", "from", "to", "input", *spans, graph.words.label, "influence")
    return Table("edge-table", f"Edges; {graph.words.label}: {graph.words.meaning}", heads, tuple(rows), left_out)


def node_table(findings: Findings, graph: WeightedGraph) -> Table:
    """The nodes: role, effect, what is written directly, and how much of what the logits read comes through each."""
    cards = {} if findings.explanation is None else {card.name: card for card in findings.explanation.nodes}
    reaching, rows, split = influence(graph).nodes, [], bool(findings.circuit.graph.spans)
    n_in, n_out = (Counter(getattr(edge, end) for edge in graph.edges) for end in ("dst", "src"))
    for node in graph.nodes:
        card = cards.get(node.label or node.id)
        role = ("", "") if card is None else _role_words(card)
        effect, direct = (None, None) if card is None else (card.effect, card.direct)
        here = None if card is None else card.spans.get(node.span or "")
        rows.append(
            (
                Cell(node.text, node=node.id),
                Cell(role[0]),
                Cell(role[1]),
                Cell(estimate(effect, sign=True), None if effect is None else effect.value),
                *([Cell(estimate(here, sign=True), None if here is None else here.value)] if split else []),
                Cell(estimate(direct, sign=True), None if direct is None else direct.value),
                Cell(f"{n_in[node.id]:,}", n_in[node.id]),
                Cell(f"{n_out[node.id]:,}", n_out[node.id]),
                Cell(number(reaching[node.id]), reaching[node.id]),
            )
        )
    effects = ("effect at all spans", "at its span alone") if split else ("effect",)
    heads = ("node", "role", "its test", *effects, "direct effect", "edges in", "edges out", "influence")
    return Table("node-table", "Nodes of the circuit", heads, tuple(rows))


def _role_words(card: NodeCard) -> tuple[str, str]:
    role, holds = role_of(card)
    if role:
        return role, verdict(holds)
    return ("no known role" if card.role_scores else "", "")  # no score: it was not looked at


def verdict(holds: bool | None) -> str:
    """What became of a claim, in words."""
    return {True: "holds", False: "failed", None: "not tested"}[holds]
