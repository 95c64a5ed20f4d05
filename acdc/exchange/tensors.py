"""Circuits as torch files: EAP-IG's and MIB's `.pt`, and ACDC's `.pth`. Only tensors and plain values are ever read."""

import io
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acdc.circuit import FORMAT_VERSION, Circuit, cfg_of, graph_of_cfg
from acdc.errors import CircuitError
from acdc.exchange.edge_lists import lost_scores
from acdc.exchange.format import Format, from_header, header_of, measured, nothing_lost, read_bytes
from acdc.exchange.hooks import HookEdge, HookPoint, hook_of_destination, hook_of_source
from acdc.files import write_atomically
from acdc.graph import QKV, Graph

__all__ = ["ACDC_PTH", "EAP_IG_PT", "is_torch_file"]

ZIP, LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # how torch's files start
REQUIRED = ("cfg", "src_nodes", "dst_nodes", "edges_scores", "edges_in_graph")


def is_torch_file(content: bytes) -> bool:
    """Whether the content starts as `torch.save` writes it."""
    return content.startswith((ZIP, LEGACY))


def _load(path: Path) -> Any:
    """Tensors and plain values of a torch file; never an object, whose making could run code."""
    content = read_bytes(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's own doubts about a file; what it refuses, it raises
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can fail anywhere
        reason = str(error).replace("\x1b[0m", " ").split("(1) In PyTorch")[0].split("\n\t")[0]
        raise CircuitError(
            f"can't be read as tensors and plain values, and nothing else of a torch file is read: {_line(reason)}"
        ) from None


def _line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else f"{line[:299]}…"


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
            "version": FORMAT_VERSION,
            "scores": header["scores"],
            "provenance": json.dumps(header["provenance"]),
        },
    }
    return _save(data, path)


def _read_eap_ig(path: Path, expected: Graph | None, lossy: bool) -> Circuit:
    data = _load(path)
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
        mask &= graph.edges_mask
    elif extra := int((mask & ~graph.edges_mask).sum()):
        raise CircuitError(
            f"keeps {extra:,} pairs that are no edges, as EAP-IG's cuts by node do; drop them with lossy=True (--lossy)"
        )
    scores = _tensor(graph, data, "edges_scores").double()
    if "edges_measured" in data:
        scores = scores.masked_fill(~_mask(graph, data, "edges_measured"), math.nan)
    return from_header(_header(data.get("acdc", {})), graph, mask, scores.masked_fill(~graph.edges_mask, math.nan))


def _header(ours: Any) -> dict[str, Any]:
    if not isinstance(ours, dict):
        raise CircuitError(f"'acdc' must be a dict, not {type(ours).__name__}")
    if (version := ours.get("version", FORMAT_VERSION)) != FORMAT_VERSION:
        raise CircuitError(f"has format version {version!r}; this program reads version {FORMAT_VERSION}")
    try:
        provenance = json.loads(ours.get("provenance", "{}"))
    except (TypeError, ValueError, RecursionError) as error:
        raise CircuitError(f"its 'provenance' is not JSON: {error}") from None
    return ours | {"provenance": provenance}


def _check_order(graph: Graph, data: Mapping[str, Any]) -> None:
    """The names must be the graph's, in its order: rows and columns mean nothing else."""
    for key, names in (("src_nodes", graph.sources), ("dst_nodes", graph.destinations)):
        if not isinstance(data[key], list | tuple) or tuple(data[key]) != names:
            raise CircuitError(f"{key!r} aren't those of a graph of {graph.shape}, in their order")


def _check_finer(data: Mapping[str, Any], lossy: bool) -> None:
    """Refuse what is finer than edges."""
    neurons, nodes = data.get("neurons_in_graph"), data.get("nodes_scores")
    if isinstance(neurons, Tensor) and not bool((neurons != 0).all()):
        raise CircuitError("keeps only some neurons of its nodes: circuits of neurons can't be read")
    if isinstance(nodes, Tensor) and nodes.is_floating_point() and not bool(nodes.isnan().all()) and not lossy:
        raise CircuitError("has scores of nodes, which a circuit doesn't hold; drop them with lossy=True (--lossy)")


def _tensor(graph: Graph, data: Mapping[str, Any], key: str) -> Tensor:
    value, shape = data[key], [graph.n_src, graph.n_dst]
    if (
        not isinstance(value, Tensor)
        or list(value.shape) != shape
        or value.is_complex()
        or value.layout != torch.strided
    ):
        came = f"{list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise CircuitError(f"{key!r} of a graph of {graph.shape} must be a tensor {shape}, not {came}")
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


def _read_acdc(path: Path, expected: Graph | None, lossy: bool) -> Circuit:
    if expected is None:
        raise CircuitError("doesn't say the model's width; give a circuit or a run of the same model (graph=, --graph)")
    data = _load(path)
    if not isinstance(data, dict):
        raise CircuitError(f"holds no circuit: expected a dict of edges, not {type(data).__name__}")
    edges = {_hook_edge(key): present for key, present in data.items()}
    if wrong := next((edge for edge, present in edges.items() if not isinstance(present, bool)), None):
        raise CircuitError(f"{str(wrong)!r} must be True or False, not {edges[wrong]!r}")
    kept = [edge.edge(expected) for edge, present in edges.items() if not edge.is_inside_a_node and present]
    listed = [edge for edge in edges if not edge.is_inside_a_node]
    if len(listed) != expected.n_edges:
        raise CircuitError(
            f"names {len(listed):,} edges of the residual stream where a graph of {expected.shape} has "
            f"{expected.n_edges:,}: it belongs to another model"
        )
    return Circuit.from_edges(expected, kept)


def _hook_edge(key: Any) -> HookEdge:
    parts: tuple[Any, ...] = key if isinstance(key, tuple) and len(key) == 4 else (None,) * 4
    names, indices = parts[::2], parts[1::2]
    if not all(isinstance(name, str) for name in names) or not all(isinstance(index, tuple) for index in indices):
        raise CircuitError(f"{key!r} is no edge of ACDC's: expected (receiver, index, sender, index)")
    return HookEdge(HookPoint(parts[0], parts[1]), HookPoint(parts[2], parts[3]))


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
