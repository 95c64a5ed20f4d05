"""The circuit file: EAP-IG's and MIB's circuit JSON with our fields beside theirs; docs/format.md describes it.

Written in full, every edge has its line, as other tools expect. Written compactly, only the kept edges have one, and
the scores of all edges stand packed behind them.
"""

import base64
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.circuits.score_kinds import ScoreKind, check_score_kind
from acdc.errors import CircuitError, FileError, printable, shown
from acdc.files import validated

__all__ = [
    "FORMAT_VERSION",
    "MAX_JSON_BYTES",
    "Parts",
    "cfg_of",
    "decode",
    "encode",
    "graph_of_cfg",
    "settled",
    "shape_of",
]

FORMAT_VERSION = 2
SPANS_VERSION = 3  # of a circuit whose edges are split by spans; readers of version 2 don't know them
READ_VERSIONS = (1, 2, 3)  # 1 has no packed scores
MAX_JSON_BYTES = 2**29  # as Python's objects, JSON takes about ten times its size
PACKED = "packed_scores"
Schema = TypeVar("Schema", bound=BaseModel)


class Parts(NamedTuple):
    """What makes a circuit."""

    graph: Graph
    mask: Tensor
    scores: Tensor | None
    provenance: dict[str, Any]
    score_kind: ScoreKind | None


class _Cfg(BaseModel):
    """A graph's shape as EAP-IG and MIB write it; a bool is not a number here."""

    model_config = ConfigDict(strict=True)

    n_layers: int
    n_heads: int
    d_model: int
    parallel_attn_mlp: bool
    spans: list[str] = []


class _Ours(BaseModel):
    """Our fields; `scores` tells a circuit without scores from one of which no edge was measured."""

    model_config = ConfigDict(strict=True)

    version: int = FORMAT_VERSION
    scores: bool | None = None
    score_kind: Any = None
    provenance: dict[str, Any] = {}


class _File(BaseModel):
    """A circuit file; its nodes and edges, which may be millions, are looked at one by one."""

    model_config = ConfigDict(strict=True)

    cfg: dict[str, Any]
    nodes: dict[str, Any]
    edges: dict[str, Any]
    acdc: dict[str, Any] = {}
    packed_scores: str | None = None


def cfg_of(graph: Graph) -> dict[str, Any]:
    """The graph's shape as EAP-IG and MIB write it; `spans`, where its edges are split, is ours."""
    shape = {
        "n_layers": graph.n_layers,
        "n_heads": graph.n_heads,
        "parallel_attn_mlp": graph.parallel,
        "d_model": graph.d_model,
    }
    return shape | ({"spans": list(graph.spans)} if graph.spans else {})


def graph_of_cfg(cfg: Mapping[str, Any], expected: Graph | None) -> Graph:
    """The graph of a shape as EAP-IG and MIB write it; it must be the expected one, if there is one.

    Where whole edges are expected, a graph of the same model with split edges will do.

    Raises:
        CircuitError: A number is missing, is none or out of bounds, or the shape isn't the expected one.
    """
    cfg = dict(cfg)
    if expected is not None:
        cfg.setdefault("d_model", expected.d_model)  # EAP-IG's first files don't have it
    found = _validated(_Cfg, cfg, "holds no circuit: its cfg is wrong")
    graph = Graph(found.n_layers, found.n_heads, found.d_model, found.parallel_attn_mlp, tuple(found.spans))
    if expected is not None and (graph if expected.spans else graph.whole) != expected:
        raise CircuitError(f"a circuit of {shape_of(graph)} doesn't fit a model of {shape_of(expected)}")
    return graph


def shape_of(graph: Graph) -> str:
    """The shape in words, with the width."""
    return f"{graph.shape} of width {graph.d_model}"


def _validated(schema: type[Schema], value: Any, what: str) -> Schema:
    try:
        return validated(schema, value, what=what)
    except FileError as error:
        raise CircuitError(str(error)) from None


# writing


def encode(parts: Parts, nodes: set[str], *, full: bool) -> Iterator[str]:
    """The text of a circuit file, in pieces.

    Args:
        nodes: Those that touch a kept edge.
        full: Whether every edge has its line, as other tools' rankings need, and no scores are packed.
    """
    graph, mask, scores, provenance, kind = parts
    about = {"scores": scores is not None, "score_kind": kind, "provenance": provenance}
    version = SPANS_VERSION if graph.spans else FORMAT_VERSION
    listed = {node: {"in_graph": node in nodes} for node in (*graph.sites, graph.destinations[-1])}
    head = {"cfg": cfg_of(graph), "acdc": {"version": version, **about}, "nodes": listed}
    yield "{\n" + "".join(f'"{key}": {json.dumps(value)},\n' for key, value in head.items()) + '"edges": {'
    yield from _edge_lines(graph, mask, scores, graph.edges_mask if full else mask)
    packed = "" if full or scores is None else f',\n"{PACKED}": "{_pack(scores[graph.edges_mask])}"'
    yield f"\n}}{packed}\n}}\n"


def _edge_lines(graph: Graph, mask: Tensor, scores: Tensor | None, listed: Tensor) -> Iterator[str]:
    names = graph.edge_names(listed)
    values = [0.0] * len(names) if scores is None else scores[listed].tolist()
    separator = "\n"
    for name, score, keep in zip(names, values, mask[listed].tolist(), strict=True):
        measured = ', "measured": false' if math.isnan(score) else ""
        in_graph = "true" if keep else "false"
        yield f'{separator}"{name}": {{"score": {_number(score)}, "in_graph": {in_graph}{measured}}}'
        separator = ",\n"


def _number(score: float) -> str:
    """A JSON number: readers of this format need one even where nothing was measured, and JSON has no infinity."""
    if math.isnan(score):
        return "0.0"
    return repr(score) if math.isfinite(score) else f"{'-' * (score < 0)}1e999"


def _pack(values: Tensor) -> str:
    """Float64, little-endian, first bytes first (equal ones side by side compress well), by zlib, in base64."""
    columns = values.numpy().astype("<f8").view(np.uint8).reshape(-1, 8)
    return base64.b64encode(zlib.compress(np.ascontiguousarray(columns.T).tobytes())).decode()


def _unpack(text: str, n: int) -> Tensor:
    """The inverse of `_pack`; never more than `n` values are made, whatever the text says."""
    try:
        packed, unpacker = base64.b64decode(text, validate=True), zlib.decompressobj()
        content = unpacker.decompress(packed, 8 * n + 1)
    except (ValueError, zlib.error) as error:
        raise CircuitError(f"is damaged: its {PACKED} can't be unpacked ({printable(str(error), 100)})") from None
    if len(content) != 8 * n or not unpacker.eof:
        raise CircuitError(f"is damaged: its {PACKED} must hold {n:,} numbers, one for each edge of the graph")
    rows = np.frombuffer(content, np.uint8).reshape(8, n)
    return torch.from_numpy(np.ascontiguousarray(rows.T).view("<f8")[:, 0].astype(np.float64))


# reading


def decode(data: Any, expected: Graph | None, *, node_scores: bool = True) -> Parts:
    """A circuit's parts from the JSON value of its file.

    Args:
        expected: The graph that it must belong to, if it is known.
        node_scores: Whether scores of nodes, which a circuit doesn't hold, are passed over.

    Raises:
        CircuitError: It holds no circuit; the message starts with a verb, so that a file's name can stand before it.
    """
    if not isinstance(data, dict):
        raise CircuitError(f"holds no circuit: expected a JSON object, not {type(data).__name__}")
    if missing := [key for key in ("cfg", "nodes", "edges") if key not in data]:
        raise CircuitError(f"holds no circuit: {missing[0]!r} is missing (expected the keys cfg, nodes and edges)")
    version = data["acdc"].get("version") if isinstance(data.get("acdc"), dict) else None
    if isinstance(version, int) and version not in READ_VERSIONS:
        came = printable(str(version), 20)
        raise CircuitError(
            f"has format version {came}; this program reads versions {READ_VERSIONS[0]} to {READ_VERSIONS[-1]}"
        )
    file = _validated(_File, data, "holds no circuit")
    ours = _validated(_Ours, file.acdc, "holds no circuit: its acdc is wrong")
    graph = graph_of_cfg(file.cfg, expected)
    _check_nodes(graph, file.nodes, node_scores)
    if file.packed_scores is not None and ours.scores is False:
        raise CircuitError(f"is damaged: it says that it has no scores, and has {PACKED}")
    mask, scores = _edges(graph, file.edges, file.packed_scores)
    kind = check_score_kind(ours.score_kind)
    return Parts(graph, mask, settled(mask, scores, ours.scores), ours.provenance, kind)


def settled(mask: Tensor, scores: Tensor | None, announced: bool | None) -> Tensor | None:
    """A file's scores (None: it gives none) as it announces them: there are none at all, or none were measured."""
    if announced is False:  # other tools need a number at each edge, so such a file has zeros
        return None
    if scores is None and announced:
        return torch.full(mask.shape, math.nan, dtype=torch.float64)
    return scores


def _check_nodes(graph: Graph, nodes: Mapping[str, Any], scores_allowed: bool) -> None:
    known = {*graph.sites, graph.destinations[-1]}
    for name, info in nodes.items():
        if name not in known:
            raise CircuitError(f"{printable(name, 60)!r} is not a node of a graph of {graph.shape}")
        if not isinstance(info, dict):
            continue
        if info.get("in_graph") and not _all_kept(info.get("neurons", [])):
            raise CircuitError(f"keeps only some neurons of {name}: circuits of neurons can't be read")
        # EAP-IG writes NaN for a node that has no score; NaN alone differs from itself
        if not scores_allowed and (score := info.get("score")) is not None and score == score:
            raise CircuitError("has scores of nodes, which a circuit doesn't hold; drop them with lossy=True (--lossy)")


def _all_kept(neurons: Any) -> bool:
    return all(map(_all_kept, neurons)) if isinstance(neurons, list) else bool(neurons)


def _edges(graph: Graph, edges: Mapping[str, Any], packed: str | None) -> tuple[Tensor, Tensor | None]:
    """Mask and scores; an edge not listed is removed, and measured only if the packed scores say so."""
    rows, columns, kept, values = _listed(graph, edges)
    mask = torch.zeros(graph.n_src, graph.n_dst, dtype=torch.bool)
    mask[rows, columns] = torch.tensor(kept, dtype=torch.bool)
    listed = torch.tensor(values, dtype=torch.float64)
    if packed is None and bool(listed.isnan().all()):
        return mask, None
    scores = torch.full(mask.shape, math.nan, dtype=torch.float64)
    if packed is None:
        scores[rows, columns] = listed
        return mask, scores
    scores[graph.edges_mask] = _unpack(packed, graph.n_edges)
    own = scores[rows, columns]
    if len(wrong := ((own != listed) & ~(own.isnan() & listed.isnan())).nonzero()):
        n = int(wrong[0])
        name = graph.edge_name(rows[n], columns[n])
        raise CircuitError(f"gives {name} the score {values[n]:g} in its line and {float(own[n]):g} in {PACKED}")
    return mask, scores


def _listed(graph: Graph, edges: Mapping[str, Any]) -> tuple[list[int], list[int], list[bool], list[float]]:
    """Row, column, whether it is kept, and score of each listed edge."""
    sources, destinations, upstream = graph.src_index, graph.dst_index, graph.upstream.tolist()
    rows, columns, kept, values = list[int](), list[int](), list[bool](), list[float]()
    for name, info in edges.items():
        src, _, dst = name.partition("->")
        i, j = sources.get(src), destinations.get(dst)
        if i is None or j is None or i >= upstream[j]:
            graph.parse_edge(name)  # raises, saying what is wrong with the name
            raise CircuitError(f"{shown(name, 60)} isn't written as an edge's name")
        in_graph, score = _edge(name, info)
        rows.append(i)
        columns.append(j)
        kept.append(in_graph)
        values.append(score)
    return rows, columns, kept, values


def _edge(name: str, info: Any) -> tuple[bool, float]:
    if not isinstance(info, dict) or not isinstance(info.get("in_graph"), bool):
        raise CircuitError(f"{name!r} needs an 'in_graph' that is true or false, not {shown(info, 80)}")
    score = info.get("score")
    if score is None or info.get("measured") is False:
        return info["in_graph"], math.nan
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise CircuitError(f"{name!r} needs a number as its score, not {shown(score, 80)}")
    try:
        return info["in_graph"], float(score)
    except OverflowError:
        raise CircuitError(f"{name!r} needs a number as its score, not {shown(score)}") from None
