"""Maps of patched activations: where in a model the difference between two prompts is carried."""

from acdc.interpret.patching_maps.effects import effects
from acdc.interpret.patching_maps.node_map import Cell, NodeMap
from acdc.interpret.patching_maps.node_patching import node_maps
from acdc.interpret.patching_maps.paths import path_maps
from acdc.interpret.patching_maps.sites import SITES
from acdc.interpret.patching_maps.subjects import clean_batch
from acdc.interpret.patching_maps.tracing import PROBABILITY, Trace, causal_trace

__all__ = [
    "PROBABILITY",
    "SITES",
    "Cell",
    "NodeMap",
    "Trace",
    "causal_trace",
    "clean_batch",
    "effects",
    "node_maps",
    "path_maps",
]
