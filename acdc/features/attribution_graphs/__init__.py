"""Attribution graphs: what adds what to a prompt's next token, over features of transcoders, or heads and MLPs."""

from acdc.features.attribution_graphs.file import load_graph, save_graph
from acdc.features.attribution_graphs.graph import AttributionGraph
from acdc.features.attribution_graphs.nodes import Node
from acdc.features.attribution_graphs.paths import Path, strongest_paths
from acdc.features.attribution_graphs.tracing import trace

__all__ = ["AttributionGraph", "Node", "Path", "load_graph", "save_graph", "strongest_paths", "trace"]
