"""Random circuits on graphs of every kind."""

import math

import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph

GRAPHS = [Graph(2, 3, 12), Graph(2, 3, 12, parallel=True), Graph(1, 1, 4), Graph(4, 4, 128)]
IDS = ["sequential", "parallel", "smallest", "bundled"]
SPLIT = Graph(2, 2, 8).split(["prefix", "S1+1", "end"])
PROVENANCE = {"task": "ioi", "model": "acdc-small", "method": "acdc", "tau": 0.01, "note": 'a "quote" é\n', "n": [1, 2]}


def circuit_of(graph: Graph, seed: int = 0, *, scores: bool = True, share: float = 0.3) -> Circuit:
    """A random circuit with a third of its edges not measured."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(graph.n_src, graph.n_dst, generator=generator) < share) & graph.edges_mask
    values = torch.randn(graph.n_src, graph.n_dst, generator=generator, dtype=torch.float64)
    values[torch.rand(values.shape, generator=generator) < 1 / 3] = math.nan
    return Circuit(graph, mask, values if scores else None, PROVENANCE)
