"""The page of a graph of features: the same page as a circuit's, made of what was found of a circuit or a prompt."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from acdc.circuits.influence import Influence
from acdc.circuits.supernodes import Supernodes, contracted
from acdc.circuits.weighted import WeightedGraph
from acdc.errors import counted
from acdc.files import write_atomically
from acdc.report.cards import Card
from acdc.report.graph import FEW, values_of
from acdc.report.opening import Opening
from acdc.report.page import exact_json, rendered
from acdc.report.table import Cell, Table
from acdc.report.text import number

__all__ = ["GraphFindings", "groups_of", "page_of_graph", "write_graph_page"]

MOST_ROWS = 1000


@dataclass(frozen=True, eq=False)
class GraphFindings:
    """What a page of a graph shows.

    Attributes:
        graph: Nodes and edges; of many, those of the most influence are drawn at first.
        reaching: How much of what the logits read comes through each node and edge.
        spans: Columns, in their order; empty: there are none.
        opening: What stands at the top.
        cards: By nodes' ids.
        n_edges: How many edges there are, those that aren't in the graph included.
        supernodes: Those of the file: chosen by hand.
        alike: Features that are alike; those that are in no supernode, and have no rule in common, are a group.
        document: The file as its page saves it again, with the groups that a reader made, and its name; None: the
            groups alone are saved.
        effect: What a node's `effect` is called in the table of nodes; empty: nodes have none.
    """

    graph: WeightedGraph
    reaching: Influence
    spans: tuple[str, ...]
    opening: Opening
    cards: Sequence[Card]
    n_edges: int
    effect: str = ""
    notes: tuple[str, ...] = ()
    supernodes: Supernodes = ()
    alike: Supernodes = ()
    document: tuple[str, Mapping[str, Any]] | None = None


def write_graph_page(path: str | Path, findings: GraphFindings) -> Path:
    """Write the page; an interrupted write leaves the old file whole.

    Raises:
        FileError: The file can't be written.
    """
    return write_atomically(path, page_of_graph(findings).encode())


def page_of_graph(findings: GraphFindings) -> str:
    """The page as HTML; everything that comes from a text or a name is escaped."""
    graph = findings.graph
    values = values_of(graph, findings.reaching, cards={}, spans=findings.spans, groups=groups_of(findings))
    n = len(graph.edges)
    first = {"n": min(n, FEW), "by": "score" if n <= FEW else "influence", "group": bool(findings.supernodes)}
    values |= {"n_edges": findings.n_edges, "first": first}
    return rendered(
        graph,
        {"graph": values | {"whole": None, "curve": None}, "patterns": {}},
        picture=contracted(graph, findings.supernodes),
        document=Markup(exact_json(_document(findings))),
        title=graph.title,
        opening=findings.opening,
        cards=findings.cards,
        nodes=_node_table(findings),
        edges=_edge_table(findings),
        notes=findings.notes,
    )


def _document(findings: GraphFindings) -> dict[str, Any]:
    """What the page saves: the file, or where that is too large the groups alone, and the nodes' ids as they are."""
    ids = [node.id for node in findings.graph.nodes]
    name, file = findings.document or ("supernodes.json", {"supernodes": []})
    return {"name": name, "file": file, "ids": ids}


def groups_of(findings: GraphFindings) -> Supernodes:
    """Those chosen by hand, then features of one rule, row and span, then those that are alike; a node is in one."""
    taken: set[str] = set()
    here, found = {node.id for node in findings.graph.nodes}, list[tuple[str, ...]]()
    for least, groups in ((1, findings.supernodes), (2, _of_one_rule(findings, taken)), (2, findings.alike)):
        for name, *ids in groups:
            free = tuple(id for id in dict.fromkeys(ids) if id in here and id not in taken)
            if len(free) >= least:
                found.append((name, *free))
                taken.update(free)
    return tuple(found)


def _of_one_rule(findings: GraphFindings, taken: Collection[str]) -> Iterator[tuple[str, ...]]:
    labels = {card.name: card.label for card in findings.cards if card.label}
    same: dict[tuple[str, int, str, str], list[str]] = defaultdict(list)
    for node in findings.graph.nodes:
        if node.id in labels and node.id not in taken:
            same[labels[node.id], node.layer, node.level, node.span or ""].append(node.id)
    for (label, _, level, span), ids in same.items():
        yield (f"{label} ({level}" + (f" @ {span})" if span else ")"), *ids)


def _node_table(findings: GraphFindings) -> Table:
    graph, reaching = findings.graph, findings.reaching.nodes
    n_in, n_out = (Counter(getattr(edge, end) for edge in graph.edges) for end in ("dst", "src"))
    ranked = sorted(graph.nodes, key=lambda node: (-abs(node.attributes.get("effect", 0.0)), -reaching[node.id]))
    rows = tuple(
        (
            Cell(node.text, node=node.id),
            Cell(node.kind),
            Cell(node.level),
            *([_number(node.attributes.get("effect"), sign=True)] if findings.effect else []),
            Cell(f"{n_in[node.id]:,}", n_in[node.id]),
            Cell(f"{n_out[node.id]:,}", n_out[node.id]),
            _number(reaching[node.id]),
        )
        for node in ranked[:MOST_ROWS]
    )
    effect = (findings.effect,) if findings.effect else ()
    heads = ("node", "kind", "row", *effect, "edges in", "edges out", "influence")
    return Table("node-table", "Nodes that edges join", heads, rows, _left_out(rows, len(graph.nodes), "node"))


def _edge_table(findings: GraphFindings) -> Table:
    graph, values = findings.graph, findings.reaching.edges
    order = sorted(range(len(graph.edges)), key=lambda i: (-abs(graph.edges[i].weight or 0.0), -values[i]))
    rows = tuple(
        (
            Cell(graph.edges[i].name),
            Cell(graph.edges[i].src, node=graph.edges[i].src),
            Cell(graph.edges[i].dst, node=graph.edges[i].dst),
            _number(graph.edges[i].weight, sign=True),
            _number(values[i]),
        )
        for i in order[:MOST_ROWS]
    )
    words = graph.words
    heads = ("edge", "from", "to", words.label, "influence")
    left_out = _left_out(rows, findings.n_edges, "edge")
    return Table("edge-table", f"Edges; {words.label}: {words.meaning}", heads, rows, left_out)


def _number(value: float | None, *, sign: bool = False) -> Cell:
    return Cell(number(value, sign=sign), value)


def _left_out(rows: Sequence[Any], n: int, thing: str) -> str:
    return f"the {len(rows):,} strongest of {counted(n, thing)}; {thing}s.csv has more" if n > len(rows) else ""
