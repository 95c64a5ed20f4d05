"""An attribution graph: what adds what to a prompt's most probable next tokens."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from acdc.circuits.flow import EDGE_SHARE, NODE_SHARE, kept, sum_of_paths
from acdc.circuits.score_kinds import ScoreWords
from acdc.circuits.supernodes import Supernodes, check_supernodes, contracted, merged, within
from acdc.circuits.weighted import WeightedEdge, WeightedGraph, WeightedNode
from acdc.errors import RunError
from acdc.features.attribution_graphs.nodes import Node

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WORDS", "AttributionGraph", "check_shares", "scores"]

WORDS = ScoreWords("direct effect", "what the source adds to the target, with patterns and norms held", "it lowers it")
DRAWN = {"token": "input", "logit": "logits"}  # what pictures and influence call these kinds


@dataclass(frozen=True, eq=False)
class AttributionGraph:
    """The graph of one prompt. Edges lead from earlier nodes to later ones.

    Attributes:
        prompt: The text; `tokens` as they read in it, what stands before it included.
        model: The model's name; `dictionaries` those of the transcoders, none in a graph of heads and MLPs.
        nodes: Tokens, then layer by layer heads, features, MLPs and errors, then logits.
        rows: Which nodes read: places in `nodes`.
        weights: What each node adds to the value of each of these.
        replacement: Share of what reaches the logits that comes from tokens and not from errors, in [0, 1], of the
            whole graph; None where it has no errors.
        completeness: Share of what nodes read that is no error, each node by its influence; None likewise.
        n_active: Features that are not zero on the prompt. So many as `n_traced` are nodes of the whole graph, and the
            others have the share `left_out` of all influence.
        pruning: The shares of nodes' and edges' influence by which it was pruned; None: not.
        notes: What a reader must know.
        pinned, supernodes: What a reader of the file chose: ids, and groups of ids under a name.
        alike: Features that are alike, likewise: see `acdc.features.similarity`.
    """

    prompt: str
    tokens: tuple[str, ...]
    model: str
    dictionaries: tuple[str, ...]
    nodes: tuple[Node, ...]
    rows: Int[np.ndarray, " row"]
    weights: Float[np.ndarray, "row node"]
    replacement: float | None = None
    completeness: float | None = None
    n_active: int = 0
    n_traced: int = 0
    left_out: float = 0.0
    pruning: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    supernodes: Supernodes = ()
    alike: Supernodes = ()

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each node stands, by its id."""
        return {node.id: i for i, node in enumerate(self.nodes)}

    @cached_property
    def roots(self) -> Float[np.ndarray, " node"]:
        """The logits' weights: their probabilities, as shares."""
        found = np.array([node.probability or 0.0 for node in self.nodes])
        return found / (found.sum() or 1)

    @property
    def n_edges(self) -> int:
        return int(np.count_nonzero(self.weights))

    def is_of(self, *kinds: str) -> Bool[np.ndarray, " node"]:
        """True for nodes of these kinds."""
        return np.array([node.kind in kinds for node in self.nodes], dtype=bool)

    @cached_property
    def shares(self) -> Float[np.ndarray, "row node"]:
        """Edges' sizes as shares of all that their targets read, what was pruned included."""
        sizes = np.array([self.nodes[row].size or 0.0 for row in self.rows])[:, None]
        return np.divide(np.abs(self.weights), sizes, out=np.zeros_like(self.weights), where=sizes > 0)

    @cached_property
    def edge_influence(self) -> Float[np.ndarray, "row node"]:
        """How much of what the logits read comes through each edge, in [0, 1]."""
        reached = np.array([node.influence for node in self.nodes]) + self.roots
        return self.shares * reached[self.rows][:, None]

    def pruned(self, nodes: float = NODE_SHARE, edges: float = EDGE_SHARE) -> "AttributionGraph":
        """The part that carries most of the influence: the fewest nodes with the share `nodes` of all nodes', of the
        edges between these the fewest with the share `edges`; tokens and logits always stay.

        Influence, sizes and scores stay those of the whole graph.

        Raises:
            RunError: A share is not above 0, or above 1.
        """
        check_shares(nodes, edges)
        always = self.is_of("token", "logit")
        known = None if self.pruning else np.array([node.influence for node in self.nodes])
        stays = kept(self.weights, self.rows, self.roots, always=always, nodes=nodes, edges=edges, reached=known)
        return replace(self._with(stays.nodes, stays.edges), pruning=(nodes, edges))

    def strongest(self, n: int) -> "AttributionGraph":
        """The `n` edges of the most influence, and the nodes that they join; tokens and logits stay."""
        if self.n_edges <= n:
            return self
        least = np.sort(self.edge_influence[self.weights != 0])[-n]
        edges = (self.weights != 0) & (self.edge_influence >= least)
        joined = self.is_of("token", "logit") | edges.any(0)
        joined[self.rows] |= edges.any(1)
        return self._with(joined, edges)

    def _with(self, nodes: Bool[np.ndarray, " node"], edges: Bool[np.ndarray, "row node"]) -> "AttributionGraph":
        rows = nodes[self.rows]
        inner = np.ix_(rows, nodes)
        ids = {node.id for node, stays in zip(self.nodes, nodes, strict=True) if stays}
        return replace(
            self,
            pinned=tuple(id for id in self.pinned if id in ids),
            supernodes=within(self.supernodes, ids),
            alike=within(self.alike, ids),
            nodes=tuple(node for node, stays in zip(self.nodes, nodes, strict=True) if stays),
            rows=(np.cumsum(nodes) - 1)[self.rows[rows]],
            weights=np.where(edges[inner], self.weights[inner], 0),
        )

    def labelled(self, labels: Mapping[str, str]) -> "AttributionGraph":
        """The graph with labels of features, by their nodes' ids."""
        named = (replace(n, text=labels[n.id]) if n.kind == "feature" and n.id in labels else n for n in self.nodes)
        return replace(self, nodes=tuple(named))

    def edges(self) -> list[tuple[Node, Node, float, float]]:
        """Source, target, weight and influence of each edge, the most influential first."""
        rows, columns = self.weights.nonzero()
        reached = self.edge_influence[rows, columns]
        order = np.argsort(-reached, kind="stable")
        return [
            (self.nodes[columns[i]], self.nodes[self.rows[rows[i]]], float(self.weights[rows[i], columns[i]]), float(v))
            for i, v in zip(order.tolist(), reached[order].tolist(), strict=True)
        ]

    def frame(self) -> "pd.DataFrame":
        """A line an edge, the most influential first: `src`, `dst` (ids), `weight`, `influence`."""
        import pandas as pd

        return pd.DataFrame(
            [(src.id, dst.id, weight, reached) for src, dst, weight, reached in self.edges()],
            columns=["src", "dst", "weight", "influence"],
        )

    def node_frame(self) -> "pd.DataFrame":
        """A line a node, with what `Node` says of it and its `label`."""
        import pandas as pd

        return pd.DataFrame([{**vars(node), "label": node.label} for node in self.nodes])

    def with_supernodes(self, groups: Mapping[str, Iterable[str]]) -> "AttributionGraph":
        """The graph with these nodes drawn as one, by the groups' names; they leave the groups that they were in.

        Raises:
            CircuitError: An id isn't a node's, or a node is in two of the groups.
        """
        found = merged(self.supernodes, groups)
        check_supernodes(found, self.places)
        return replace(self, supernodes=found)

    def weighted(self, *, grouped: bool = False) -> WeightedGraph:
        """As a graph to be drawn, exported, or put on a page.

        Args:
            grouped: Each supernode is one node.
        """
        title = f"{self.model}: {self.prompt}"
        graph = WeightedGraph(
            tuple(map(self._drawn, self.nodes)),
            tuple(
                WeightedEdge(src.id, dst.id, weight=weight, attributes={"influence": reached})
                for src, dst, weight, reached in self.edges()
            ),
            title=title,
            caption=f"{len(self.nodes):,} nodes, {self.n_edges:,} edges",
            words=WORDS,
        )
        return contracted(graph, self.supernodes) if grouped else graph

    def _drawn(self, node: Node) -> WeightedNode:
        level = {"token": "tokens", "logit": "logits", "mlp": f"MLP {node.layer}", "error": f"errors {node.layer}"}
        span = None if node.kind == "logit" else f"{node.position}"
        if node.kind not in ("token", "logit"):
            span = f"{node.position} {self.tokens[node.position]!r}"
        return WeightedNode(
            node.id,
            DRAWN.get(node.kind, node.kind),
            node.layer,
            level.get(node.kind, f"layer {node.layer}"),
            node.label,
            span,
            {"influence": node.influence},
        )

    def __repr__(self) -> str:
        told = "" if self.replacement is None else f", replacement {self.replacement:.2f}"
        return (
            f"AttributionGraph({self.prompt!r}, {self.model}: {len(self.nodes):,} nodes, {self.n_edges:,} edges{told})"
        )


def check_shares(nodes: float, edges: float) -> None:
    """Raise `RunError` unless a graph can be pruned by these shares of influence."""
    for name, share in (("nodes", nodes), ("edges", edges)):
        if not 0 < share <= 1:
            raise RunError(f"{name} must be a share of the influence above 0 and at most 1, not {share!r}")


def scores(
    weights: Float[np.ndarray, "row node"],
    rows: Int[np.ndarray, " row"],
    roots: Float[np.ndarray, " node"],
    kinds: Sequence[str],
) -> tuple[Float[np.ndarray, " node"], float | None, float | None]:
    """Influence, replacement and completeness by circuit-tracer's formulas: nodes that read nothing are complete."""
    reached = sum_of_paths(weights, roots, rows)
    errors, tokens = (np.array([kind == name for kind in kinds], dtype=bool) for name in ("error", "token"))
    of_tokens, of_errors = float(reached[tokens].sum()), float(reached[errors].sum())
    if not errors.any() or of_tokens + of_errors == 0:
        return reached, None, None
    weight, sizes = reached + roots, np.array([np.abs(row).sum(dtype=np.float64) for row in weights])
    of_error = np.abs(weights[:, errors]).sum(1, dtype=np.float64)
    share = np.divide(of_error, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    return reached, of_tokens / (of_tokens + of_errors), 1 - float((share * weight[rows]).sum() / weight.sum())
