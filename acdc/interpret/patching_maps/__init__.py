"""Maps of patched activations: where in a model the difference between two prompts is carried."""

from acdc.interpret.patching_maps.effects import effects
from acdc.interpret.patching_maps.node_map import Cell, NodeMap
from acdc.interpret.patching_maps.node_patching import node_maps
from acdc.interpret.patching_maps.paths import path_maps
from acdc.interpret.patching_maps.sites import SITES

__all__ = ["SITES", "Cell", "NodeMap", "effects", "node_maps", "path_maps"]
