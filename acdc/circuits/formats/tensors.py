"""Circuits as torch files: EAP-IG's and MIB's `.pt`, and ACDC's `.pth`. Only tensors and plain values are ever read."""

import io
import json
import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.circuits.file import cfg_of, graph_of_cfg
from acdc.circuits.formats.edge_lists import LONGEST, lost_scores
from acdc.circuits.formats.format import (
    SHAPELESS,
    Format,
    Listed,
    ShapelessError,
    from_header,
    header_of,
    measured,
    nothing_lost,
    parse_json,
)
from acdc.circuits.formats.hooks import HookEdge, HookPoint, hook_of_destination, hook_of_source
from acdc.circuits.graph import QKV, Graph
from acdc.errors import CircuitError, printable, shown
from acdc.files import write_atomically

__all__ = ["ACDC_PTH", "EAP_IG_PT", "is_torch_file"]

ZIP, LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # how torch's files start
TORCH_VERSION = 1  # of our fields in a torch file
MAX_BYTES = 2**31  # of a torch file's content, unpacked
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


def is_torch_file(content: bytes) -> bool:
    """Whether the content starts as `torch.save` writes it."""
    return content.startswith((ZIP, LEGACY))


def _load(content: bytes) -> Any:
    """Tensors and plain values of a torch file; never an object, whose making could run code."""
    _check_size(content)
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's own doubts about a file; what it refuses, it raises
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can fail anywhere
        raise CircuitError(
            f"can't be read as tensors and plain values, and nothing else of a torch file is read{_reason(error)}"
        ) from None


def _reason(error: Exception) -> str:
    """What torch says is wrong with a file, without its advice, which is about loading models."""
    text = re.sub(r"\x1b\[\d*m", " ", str(error))
    if named := re.search(r"GLOBAL (\S+)", text):
        return f": it holds an object of {printable(named[1], 80)!r}"
    if "weights_only" in text or isinstance(error, pickle.UnpicklingError):
        return ": it holds an object, or is damaged"
    return f": it is damaged ({type(error).__name__})"


def _check_size(content: bytes) -> None:
    """Refuse a zip that would unpack to more than is held, before anything is unpacked."""
    if not content.startswith(ZIP):
        return
    try:
        size = sum(entry.file_size for entry in zipfile.ZipFile(io.BytesIO(content)).infolist())
    except Exception:  # zipfile, too, fails in many ways on a damaged file
        raise CircuitError("is damaged: it is no whole zip file, as torch's files are") from None
    if size > MAX_BYTES:
        raise CircuitError(f"unpacks to {size:,} bytes, more than the {MAX_BYTES:,} that are read")


def _save(value: Any, path: Path) -> Path:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return write_atomically(path, buffer.getvalue())


# EAP-IG and MIB


def _write_eap_ig(circuit: Circuit, path: Path) -> Path:
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
    return _save(data, path)


def _read_eap_ig(content: bytes, expected: Graph | None, lossy: bool) -> Circuit:
    data = _load(content)
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
            f"keeps {extra:,} pairs that are no edges, as EAP-IG's cuts by node do; drop them with lossy=True (--lossy)"
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


EAP_IG_PT = Format(
    name="eap-ig-pt",
    summary="tensors of EAP-IG and MIB (Graph.to_pt)",
    suffix=".pt",
    carries="mask, scores",
    recognises=lambda content: is_torch_file(content) and b"edges_in_graph" in content,
    read=_read_eap_ig,
    write=_write_eap_ig,
    lost=nothing_lost,
)


# ACDC: {(receiver, index, sender, index): present}, for every edge of its graph, those inside nodes too

Key = tuple[str, tuple[int | None, ...], str, tuple[int | None, ...]]


def _write_acdc(circuit: Circuit, path: Path) -> Path:
    """What ACDC's `save_subgraph` writes: a head's or MLP's inner edges are there if its input keeps an edge."""
    graph = circuit.graph
    if graph.parallel:
        raise CircuitError("ACDC's graph has no parallel blocks, so its .pth can't hold this circuit")
    kept, found = circuit.mask, dict[Key, bool]()
    for j, destination in enumerate(graph.destinations):
        receiver = hook_of_destination(graph, destination)
        for i in range(int(graph.upstream[j])):
            found[(*receiver, *hook_of_source(graph.sources[i]))] = bool(kept[i, j])
        for edge in _inner_edges(graph, destination):
            found[(*edge.receiver, *edge.sender)] = bool(kept[:, j].any())
    return _save(found, path)


def _inner_edges(graph: Graph, destination: str) -> list[HookEdge]:
    """The edges of ACDC's graph from a destination to its node's output."""
    if destination == "logits":
        return []
    entry, out = hook_of_destination(graph, destination), hook_of_source(graph.node_of(destination))
    kind = destination[-2] if destination.endswith(">") else ""
    if kind not in QKV:
        return [HookEdge(out, entry)]
    layer = graph.layer_of(destination)
    middle = HookPoint(f"blocks.{layer}.attn.hook_{kind}", entry.place)
    return [HookEdge(middle, entry), HookEdge(out, middle)]


def _read_acdc(content: bytes, expected: Graph | None, lossy: bool) -> Circuit:
    if expected is None:
        raise ShapelessError(SHAPELESS)
    data = _load(content)
    if not isinstance(data, dict):
        raise CircuitError(f"holds no circuit: expected a dict of edges, not {type(data).__name__}")
    found, n = Listed(expected), 0
    for key, present in data.items():
        edge = _hook_edge(key)
        if not isinstance(present, bool):
            raise CircuitError(f"{str(edge)!r} must be True or False, not {shown(present, 60)}")
        if not edge.is_inside_a_node:
            found.add(edge.edge(expected), present, math.nan)
            n += 1
    if n != expected.n_edges:
        raise CircuitError(
            f"names {n:,} edges of the residual stream where a graph of {expected.shape} has {expected.n_edges:,}: it "
            "belongs to another model"
        )
    return found.circuit({})


def _hook_edge(key: Any) -> HookEdge:
    """A key of ACDC's: (receiver, index, sender, index)."""
    parts: tuple[Any, ...] = key if isinstance(key, tuple) and len(key) == 4 else (None,) * 4
    names, indices = parts[::2], parts[1::2]
    if not all(isinstance(name, str) and len(name) <= LONGEST for name in names) or not all(map(_is_index, indices)):
        came = shown(key, 80)
        raise CircuitError(f"{came} is no edge of ACDC's: expected (receiver, index, sender, index)")
    return HookEdge(HookPoint(parts[0], parts[1]), HookPoint(parts[2], parts[3]))


def _is_index(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= 3 and all(i is None or type(i) is int for i in value)


def _lost_in_acdc(circuit: Circuit) -> str:
    origin = "where the circuit comes from" if circuit.provenance else ""
    return " and ".join(filter(None, (lost_scores(circuit), origin)))


ACDC_PTH = Format(
    name="acdc-pth",
    summary="edges of ACDC (Conmy et al.) as its save_subgraph writes them",
    suffix=".pth",
    carries="mask of a graph without parallel blocks",
    recognises=lambda content: is_torch_file(content) and b"hook_resid_pre" in content,
    read=_read_acdc,
    write=_write_acdc,
    lost=_lost_in_acdc,
)
