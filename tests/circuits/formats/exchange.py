"""A small graph, a file's name in each format, and a file as EAP-IG saves it."""

from pathlib import Path
from typing import Any

import torch

from acdc.circuits.formats import FORMATS
from acdc.circuits.graph import Graph

LOSSLESS = [name for name, entry in FORMATS.items() if "scores" in entry.carries]
SMALL = Graph(2, 2, 8)


def file_for(name: str, folder: Path) -> Path:
    return folder / f"circuit{FORMATS[name].suffix}"


def reference_pt(graph: Graph, **changes: Any) -> dict[str, Any]:
    """What EAP-IG's `Graph.to_pt` saves."""
    torch.manual_seed(0)
    shape = (graph.n_src, graph.n_dst)
    scores = torch.randn(shape) * graph.edges_mask
    cfg = {"n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel_attn_mlp": graph.parallel}
    data = {
        "cfg": cfg | {"d_model": graph.d_model},
        "src_nodes": list(graph.sources),
        "dst_nodes": list(graph.destinations),
        "edges_scores": scores,
        "edges_in_graph": scores.abs() > 1,
        "nodes_in_graph": torch.ones(graph.n_src, dtype=torch.bool),
    }
    return data | changes
