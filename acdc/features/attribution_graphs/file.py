"""Attribution graphs as files of Neuronpedia's JSON: its viewers and circuit-tracer's open ours, and ours opens theirs.

Only what is left after pruning is written, and of that at most `MOST_LINKS` links: whole graphs have millions.
"""

import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acdc.circuits.flow import EDGE_SHARE, NODE_SHARE
from acdc.circuits.supernodes import check_supernodes
from acdc.errors import CircuitError, FileError, printable, shown
from acdc.features.attribution_graphs.assembly import finished
from acdc.features.attribution_graphs.graph import AttributionGraph
from acdc.features.attribution_graphs.nodes import Node, kind_rank
from acdc.features.attribution_graphs.schema import (
    LIKE,
    GraphJSON,
    InfoJSON,
    LinkJSON,
    MetadataJSON,
    NodeJSON,
    PruningJSON,
    QParamsJSON,
)
from acdc.files import read_json, validated, write_atomically
from acdc.version import __version__

__all__ = ["MOST_LINKS", "graph_json", "load_graph", "save_graph"]

MOST_LINKS = 100_000
TYPES = {
    "token": "embedding",
    "head": "attention head",
    "feature": "cross layer transcoder",
    "mlp": "mlp",
    "error": "mlp reconstruction error",
    "logit": "logit",
}
READ_NOTHING = ("token", "error")
KIND_OF = {name: kind for kind, name in TYPES.items()}


def save_graph(graph: AttributionGraph, path: str | os.PathLike[str], *, most: int = MOST_LINKS) -> Path:
    """Write a graph as Neuronpedia's JSON; a whole graph is pruned first, and the `most` most influential links stay.

    Raises:
        FileError: The file can't be written.
    """
    told = graph_json(graph, Path(path).stem, most=most)
    return write_atomically(path, (json.dumps(told, allow_nan=False) + "\n").encode())


def graph_json(graph: AttributionGraph, slug: str, *, most: int = MOST_LINKS) -> dict[str, Any]:
    """What `save_graph` writes."""
    graph = (graph.pruned() if graph.pruning is None else graph).strongest(most)
    told = GraphJSON(
        metadata=_metadata(graph, slug),
        qParams=QParamsJSON(pinnedIds=list(graph.pinned), supernodes=[list(each) for each in graph.supernodes]),
        nodes=[_node(node, graph) for node in graph.nodes],
        links=[LinkJSON(source=src.id, target=dst.id, weight=weight) for src, dst, weight, _ in graph.edges()],
    )
    return told.model_dump()


def _metadata(graph: AttributionGraph, slug: str) -> MetadataJSON:
    nodes, edges = graph.pruning or (NODE_SHARE, EDGE_SHARE)
    return MetadataJSON(
        slug=slug,
        scan=graph.model,
        prompt_tokens=list(graph.tokens),
        prompt=graph.prompt,
        transcoder_list=list(graph.dictionaries),
        node_threshold=nodes,
        info=InfoJSON(
            description="; ".join(graph.notes),
            generator={"name": "acdc", "version": __version__},
            replacement_score=graph.replacement,
            completeness_score=graph.completeness,
            n_active=graph.n_active,
            n_traced=graph.n_traced,
            left_out=graph.left_out,
            notes=list(graph.notes),
            alike=[list(each) for each in graph.alike],
        ),
        pruning_settings=PruningJSON(node_threshold=nodes, edge_threshold=edges),
    )


def _node(node: Node, graph: AttributionGraph) -> NodeJSON:
    likeliest = max((each.probability or 0.0 for each in graph.nodes), default=0.0)
    head, _, position = node.id.rpartition("_")
    is_logit = node.kind == "logit"
    return NodeJSON(
        node_id=node.id,
        feature=_feature(node),
        layer="E" if node.kind == "token" else str(node.layer + is_logit),
        ctx_idx=node.position,
        feature_type=TYPES[node.kind],
        token_prob=node.probability or 0.0,
        is_target_logit=is_logit and node.probability == likeliest,
        jsNodeId=f"L_{node.index}-{position}" if is_logit else f"{head}-{0 if node.kind == 'feature' else position}",
        clerp=_clerp(node),
        influence=node.cumulative,
        activation=node.activation,
        value=node.value,
        bias=node.bias,
        left_out=node.left_out,
        size=node.size,
        influence_share=node.influence,
    )


def _feature(node: Node) -> int:
    """What pages call a node by, beside its layer and position: they fail where there is no number."""
    if node.kind in ("feature", "head"):  # Cantor's number of the pair
        return (node.layer + node.index) * (node.layer + node.index + 1) // 2 + node.index
    return node.position if node.kind == "token" else node.index


def _clerp(node: Node) -> str:
    """The label that viewers show; where a feature has none, they look for one of their own."""
    match node.kind:
        case "logit":
            return f'Output "{node.text}" (p={node.probability or 0:.3f})'
        case "token":
            return f'Emb: "{node.text}"'
        case "feature":
            return node.text
    return node.label


def load_graph(path: str | os.PathLike[str]) -> AttributionGraph:
    """A graph of Neuronpedia's JSON, ours or another tool's.

    A file holds a pruned graph: influence and scores are those that it tells; where it tells none, influence is that of
    what it holds, and there are no scores.

    Raises:
        FileError: It can't be read, is of another schema, two nodes have one id, a link joins what is no node, an id
            doesn't fit its node, or a supernode names what is no node or is in another one.
    """
    told = _checked(path)
    kept_ids = Counter(node.node_id for node in told.nodes)
    if twice := [name for name, n in kept_ids.items() if n > 1]:
        raise FileError(
            f"{path}: two nodes have the id {shown(twice[0])}, so its links are ambiguous (circuit-tracer to 0.5 calls "
            "the error of layer L 0_L_P, which is also the id of feature L of layer 0); let a version write it, or "
            "Neuronpedia, that calls errors L_-1_P"
        )
    try:
        check_supernodes(told.qParams.supernodes, kept_ids)
        check_supernodes(told.metadata.info.alike, kept_ids)
    except CircuitError as error:
        raise FileError(f"{path}: supernodes: {error}") from None
    nodes = sorted((_read_node(path, node, told) for node in told.nodes), key=kind_rank)
    graph = _read_graph(path, told, nodes)
    return graph if any(node.influence_share is not None for node in told.nodes) else _measured(graph)


def _checked(path: str | os.PathLike[str]) -> GraphJSON:
    value = read_json(path)
    metadata = value.get("metadata") if isinstance(value, dict) else None
    version = metadata.get("schema_version") if isinstance(metadata, dict) else None
    if version not in (None, LIKE):
        raise FileError(f"{path} is an attribution graph of schema_version {shown(version)}; {LIKE} is known")
    return validated(GraphJSON, value, what=f"{path} is no attribution graph of Neuronpedia's schema 1.0.0")


FORMS = {
    "token": (r"E_(?P<index>\d+)_(?P<position>\d+)", "E_TOKEN_POSITION, like E_50_7"),
    "logit": (r"(?P<layer>\d+)_(?P<index>\d+)_(?P<position>\d+)", "LAYER_TOKEN_POSITION, like 13_50_7"),
    "feature": (r"(?P<layer>\d+)_(?P<index>\d+)_(?P<position>\d+)", "LAYER_FEATURE_POSITION, like 5_123_7"),
    "head": (r"(?P<layer>\d+)_h(?P<index>\d+)_(?P<position>\d+)", "LAYER_hHEAD_POSITION, like 2_h0_7"),
    "mlp": (r"(?P<layer>\d+)_mlp_(?P<position>\d+)", "LAYER_mlp_POSITION, like 2_mlp_7"),
}


def _read_node(path: str | os.PathLike[str], told: NodeJSON, graph: GraphJSON) -> Node:
    kind = KIND_OF.get(told.feature_type)
    if kind is None:
        raise FileError(
            f"{path}: node {shown(told.node_id)} has the feature_type {shown(told.feature_type)}; known are "
            f"{', '.join(KIND_OF)}"
        )
    tokens = graph.metadata.prompt_tokens
    if not 0 <= told.ctx_idx < len(tokens):
        raise FileError(
            f"{path}: node {shown(told.node_id)} has ctx_idx {told.ctx_idx}, of {len(tokens)} prompt_tokens"
        )
    layer, index = _layer_and_index(path, kind, told)
    return Node(
        told.node_id,
        kind,
        layer,
        told.ctx_idx,
        index,
        text=_text(kind, told, graph),
        activation=told.activation,
        value=told.value,
        bias=told.bias,
        left_out=told.left_out,
        size=told.size,
        probability=told.token_prob if kind == "logit" else None,
        influence=told.influence_share or 0.0,
        cumulative=told.influence,
    )


def _layer_and_index(path: str | os.PathLike[str], kind: str, told: NodeJSON) -> tuple[int, int]:
    """Of a node, its id and its fields agreeing; an error's id is not read, for there were two forms."""
    layer = -1 if kind == "token" else int(told.layer) if told.layer.isdecimal() else None
    if layer is None:
        raise FileError(f"{path}: node {shown(told.node_id)} has the layer {shown(told.layer)}, which is no number")
    if kind == "error":
        return layer, -1
    pattern, form = FORMS[kind]
    found = re.fullmatch(pattern, told.node_id, re.ASCII)
    if found is None:
        raise FileError(f"{path}: {shown(told.node_id)} is no id of a {TYPES[kind]}: it must be {form}")
    parts = {name: int(number) for name, number in found.groupdict().items()}
    if parts.get("layer", layer) != layer or parts["position"] != told.ctx_idx:
        raise FileError(
            f"{path}: node {shown(told.node_id)} is said to be of layer {told.layer} and ctx_idx {told.ctx_idx}, which "
            f"its id contradicts ({form})"
        )
    return layer - (kind == "logit"), parts.get("index", -1)


def _text(kind: str, told: NodeJSON, graph: GraphJSON) -> str:
    match kind:
        case "token":
            return graph.metadata.prompt_tokens[told.ctx_idx]
        case "logit":
            return _output(told.clerp)
        case "feature":
            given = {pair[0]: pair[1] for pair in graph.qParams.clerps if len(pair) == 2}
            return given.get(f"{told.layer}_{told.feature}_{told.ctx_idx}", given.get(f"{told.feature}", told.clerp))
    return ""


def _output(clerp: str) -> str:
    """The token that a logit's label names."""
    found = re.fullmatch(r'[Oo]utput:? "(.*)" \(p=[\d.]+\)', clerp, re.DOTALL)
    return clerp if found is None else found[1]


def _read_graph(path: str | os.PathLike[str], told: GraphJSON, nodes: list[Node]) -> AttributionGraph:
    places = {node.id: i for i, node in enumerate(nodes)}
    rows = np.array([i for i, node in enumerate(nodes) if node.kind not in READ_NOTHING], dtype=int)
    row_of = {int(place): row for row, place in enumerate(rows)}
    weights = np.zeros((len(rows), len(nodes)))
    for link in told.links:
        name = f"link {printable(link.source, 40)} -> {printable(link.target, 40)}"
        if missing := [end for end in (link.source, link.target) if end not in places]:
            raise FileError(f"{path}: the {name} joins {shown(missing[0])}, which is no node of it")
        source, target = places[link.source], places[link.target]
        if target not in row_of or source >= target:
            raise FileError(f"{path}: the {name} leads to what comes before it, or to a token or an error")
        weights[row_of[target], source] = link.weight
    metadata, pruning = told.metadata, told.metadata.pruning_settings
    shares = (pruning.node_threshold or metadata.node_threshold, pruning.edge_threshold)
    return AttributionGraph(
        metadata.prompt,
        tuple(metadata.prompt_tokens),
        metadata.scan,
        tuple(metadata.transcoder_list),
        tuple(nodes),
        rows,
        weights,
        replacement=metadata.info.replacement_score,
        completeness=metadata.info.completeness_score,
        n_active=metadata.info.n_active,
        n_traced=metadata.info.n_traced,
        left_out=metadata.info.left_out,
        pruning=(shares[0] or 1.0, shares[1] or 1.0),
        notes=tuple(metadata.info.notes),
        pinned=tuple(told.qParams.pinnedIds),
        supernodes=tuple(map(tuple, told.qParams.supernodes)),
        alike=tuple(map(tuple, metadata.info.alike)),
    )


def _measured(graph: AttributionGraph) -> AttributionGraph:
    """The graph with the influence of what it holds."""
    found = finished(graph, np.ones(len(graph.nodes), dtype=bool))
    nodes = [
        replace(node, cumulative=told.cumulative, left_out=None)
        for node, told in zip(found.nodes, graph.nodes, strict=True)
    ]
    return replace(found, nodes=tuple(nodes), replacement=graph.replacement, completeness=graph.completeness)
