"""Circuits as the tensors of EAP-IG and MIB: their `.pt` files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.circuits.file import cfg_of, graph_of_cfg
from acdc.circuits.formats.format import Format, from_header, header_of, measured, nothing_lost, parse_json
from acdc.circuits.formats.torch_files import is_torch_file, load_plain, save_plain
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError, printable, shown

__all__ = ["CIRCUIT_FORMATS"]

TORCH_VERSION = 1  # of our fields in a torch file
NUMBERS = {
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
}
REQUIRED = ("cfg", "src_nodes", "dst_nodes", "edges_scores", "edges_in_graph")


def _write(circuit: Circuit, path: Path) -> Path:
    """What EAP-IG's `Graph.from_pt` demands, with our fields beside; scores stay in float64, which it rounds itself."""
    graph, scores = circuit.graph, circuit.scores
    kept = set(circuit.nodes)
    values = (
        torch.zeros(circuit.mask.shape, dtype=torch.float64)
        if scores is None
        else scores.nan_to_num(nan=0.0, posinf=math.inf, neginf=-math.inf)
    )
    header = header_of(circuit)
    data = {
        "cfg": cfg_of(graph),
        "src_nodes": list(graph.sources),
        "dst_nodes": list(graph.destinations),
        "edges_scores": values,
        "edges_in_graph": circuit.mask,
        "nodes_in_graph": torch.tensor([source in kept for source in graph.sources]),
        "edges_measured": measured(circuit),
        "acdc": {
            "version": TORCH_VERSION,
            "scores": header["scores"],
            "score_kind": header["score_kind"],
            "provenance": json.dumps(header["provenance"]),
        },
    }
    return save_plain(data, path)


def _read(content: bytes, expected: Graph | None, lossy: bool) -> Circuit:
    data = load_plain(content)
    if not isinstance(data, dict):
        raise CircuitError(f"holds no circuit: expected a dict, not {type(data).__name__}")
    if missing := [key for key in REQUIRED if key not in data]:
        raise CircuitError(f"holds no circuit: it lacks {', '.join(map(repr, missing))}")
    if not isinstance(data["cfg"], dict):
        raise CircuitError(f"holds no circuit: 'cfg' must be a dict, not {type(data['cfg']).__name__}")
    graph = graph_of_cfg(data["cfg"], expected)
    _check_order(graph, data)
    _check_finer(data, lossy)
    mask = _mask(graph, data, "edges_in_graph")
    if lossy:
        mask = mask & graph.edges_mask
    elif extra := int((mask & ~graph.edges_mask).sum()):
        raise CircuitError(
            f"keeps {extra:,} pairs that are not edges, as EAP-IG's cuts by node do; drop them with lossy=True "
            "(--lossy)"
        )
    scores = _tensor(graph, data, "edges_scores").double()
    if "edges_measured" in data:
        scores = scores.masked_fill(~_mask(graph, data, "edges_measured"), math.nan)
    scores = scores.masked_fill(~graph.edges_mask, math.nan)
    header = _header(data.get("acdc", {}))
    return from_header(header, graph, mask, None if bool(scores.isnan().all()) else scores)


def _header(ours: Any) -> dict[str, Any]:
    if not isinstance(ours, dict):
        raise CircuitError(f"'acdc' must be a dict, not {type(ours).__name__}")
    version = ours.get("version", TORCH_VERSION)
    if not isinstance(version, int) or version != TORCH_VERSION:
        came = shown(version, 40)
        raise CircuitError(f"has format version {came}; this program reads version {TORCH_VERSION}")
    if not isinstance(provenance := ours.get("provenance", "{}"), str):
        raise CircuitError(f"its 'provenance' must be JSON as text, not {type(provenance).__name__}")
    return {key: ours[key] for key in ("scores", "score_kind") if key in ours} | {"provenance": parse_json(provenance)}


def _check_order(graph: Graph, data: Mapping[str, Any]) -> None:
    """The names must be the graph's, in its order: rows and columns mean nothing else."""
    for key, names in (("src_nodes", graph.sources), ("dst_nodes", graph.destinations)):
        if not isinstance(data[key], list | tuple) or tuple(data[key]) != names:
            raise CircuitError(f"{key!r} aren't those of a graph of {graph.shape}, in their order")


def _check_finer(data: Mapping[str, Any], lossy: bool) -> None:
    """Refuse what is finer than edges."""
    neurons, nodes = data.get("neurons_in_graph"), data.get("nodes_scores")
    for key, value in (("neurons_in_graph", neurons), ("nodes_scores", nodes)):
        if value is not None and not _is_plain(value):
            raise CircuitError(f"{key!r} must be a tensor of numbers, not {_kind(value)}")
    if neurons is not None and not bool((neurons != 0).all()):
        raise CircuitError("keeps only some neurons of its nodes: circuits of neurons can't be read")
    if nodes is not None and nodes.is_floating_point() and not bool(nodes.isnan().all()) and not lossy:
        raise CircuitError("has scores of nodes, which a circuit doesn't hold; drop them with lossy=True (--lossy)")


def _is_plain(value: Any) -> bool:
    """Whether it is a tensor of real numbers or booleans that are there, row by row."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.dtype in NUMBERS | {torch.bool, torch.uint8} and not value.is_nested


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape) if not value.is_nested else 'nested'}"


def _tensor(graph: Graph, data: Mapping[str, Any], key: str) -> Tensor:
    value, shape = data[key], [graph.n_src, graph.n_dst]
    if not _is_plain(value) or list(value.shape) != shape:
        came = printable(_kind(value), 80)
        raise CircuitError(f"{key!r} of a graph of {graph.shape} must be a tensor {shape} of numbers, not {came}")
    return value


def _mask(graph: Graph, data: Mapping[str, Any], key: str) -> Tensor:
    value = _tensor(graph, data, key)
    if not bool(((value == 0) | (value == 1)).all()):
        raise CircuitError(f"{key!r} must hold true and false alone")
    return value.bool()


CIRCUIT_FORMATS = (
    Format(
        name="eap-ig-pt",
        summary="tensors of EAP-IG and MIB (Graph.to_pt)",
        suffix=".pt",
        carries="mask, scores",
        recognises=lambda content: is_torch_file(content) and b"edges_in_graph" in content,
        read=_read,
        write=_write,
        lost=nothing_lost,
        order=0,
    ),
)
