"""Nodes of an attribution graph, and what follows for each from the graph's rows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from acdc.features.attribution_graphs.graph import AttributionGraph, scores
from acdc.features.attribution_graphs.ids import id_of
from acdc.features.attribution_graphs.logits import Logits
from acdc.features.attribution_graphs.nodes import Node, kind_rank
from acdc.features.attribution_graphs.replacement import LocalReplacement
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch
from acdc.prompts.tokens import pieces

__all__ = ["component_nodes", "feature_nodes", "finished", "logit_nodes"]


def feature_nodes(model: PatchableModel, batch: PromptBatch, local: LocalReplacement) -> list[Node]:
    """Features, errors and tokens, in the order of the rows' columns."""
    found = [
        Node(id_of("feature", layer, pos, index), "feature", layer, pos, index, activation=activation, value=value)
        for each in local.features
        for layer in [each.dictionary.reads.layer]
        for pos, index, activation, value in zip(
            each.positions.tolist(), each.indices.tolist(), each.activations.tolist(), each.values.tolist(), strict=True
        )
    ]
    found += [
        Node(id_of("error", layer, pos, -1), "error", layer, pos)
        for layer in range(len(local.errors))
        for pos in range(batch.n_pos)
    ]
    return found + _token_nodes(model, batch)


def component_nodes(model: PatchableModel, batch: PromptBatch, mlps: bool) -> list[Node]:
    """Tokens, heads and MLPs, in the order of the rows' columns."""
    found = _token_nodes(model, batch)
    kinds = [("head", head) for head in range(model.graph.n_heads)] + [("mlp" if mlps else "error", -1)]
    return found + [
        Node(id_of(kind, layer, pos, index), kind, layer, pos, index)
        for layer in range(model.graph.n_layers)
        for kind, index in kinds
        for pos in range(batch.n_pos)
    ]


def _token_nodes(model: PatchableModel, batch: PromptBatch) -> list[Node]:
    ids = batch.clean[0].tolist()
    named = zip(ids, pieces(model.tokenizer, ids), strict=True)
    return [
        Node(id_of("token", -1, pos, token), "token", -1, pos, token, text) for pos, (token, text) in enumerate(named)
    ]


def logit_nodes(model: PatchableModel, batch: PromptBatch, logits: Logits, values: Sequence[float]) -> list[Node]:
    """Logits, the most probable first."""
    ids, last, layer = logits.tokens.tolist(), batch.n_pos - 1, model.graph.n_layers
    told = zip(ids, pieces(model.tokenizer, ids), logits.probabilities.tolist(), values, strict=True)
    return [
        Node(id_of("logit", layer, last, token), "logit", layer, last, token, text, value=value, probability=p)
        for token, text, p, value in told
    ]


def finished(graph: AttributionGraph, chosen: Bool[np.ndarray, " node"]) -> AttributionGraph:
    """The graph of some of the nodes, in an order in which edges lead forwards, with all that follows from its rows.

    Args:
        graph: Its nodes know what they are, and those that have a row its value; nothing else of them is read.
    """
    places = sorted(np.nonzero(chosen)[0].tolist(), key=lambda i: kind_rank(graph.nodes[i]))
    new = np.full(len(chosen), -1)
    new[places] = np.arange(len(places))
    totals, weights, rows = graph.weights.sum(1, dtype=np.float64), graph.weights[:, places], new[graph.rows]
    nodes = [graph.nodes[i] for i in places]
    for row, place in enumerate(rows.tolist()):
        node, left = nodes[place], float(totals[row] - weights[row].sum(dtype=np.float64))
        size = float(np.abs(weights[row]).sum(dtype=np.float64))
        bias = None if node.value is None else node.value - float(totals[row])
        nodes[place] = replace(node, bias=bias, left_out=left, size=size)
    found = replace(graph, nodes=tuple(nodes), rows=rows, weights=weights)
    reached, replacement, completeness = scores(weights, rows, found.roots, [node.kind for node in nodes])
    cumulative = _cumulative(reached)
    told = tuple(
        replace(node, influence=value, cumulative=None if node.kind == "logit" else share)
        for node, value, share in zip(nodes, reached.tolist(), cumulative.tolist(), strict=True)
    )
    return replace(found, nodes=told, replacement=replacement, completeness=completeness)


def _cumulative(reached: Float[np.ndarray, " node"]) -> Float[np.ndarray, " node"]:
    """The share that each has together with all before it."""
    order = np.argsort(-reached, kind="stable")
    found = np.zeros(len(reached))
    found[order] = np.minimum(np.cumsum(reached[order]) / (reached.sum() or 1), 1)
    return found
