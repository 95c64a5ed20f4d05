"""What single nodes write differently in the two runs, and how a node or an edge is patched alone.

A node of the graph is patched by what it writes: a head's result, an MLP's output, the embeddings. With a norm after
attention a head's result is its share of the normed sum, and the norm's scale that of each run, as in our graph.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph, kind_of
from acdc.errors import unknown_name
from acdc.interpret.patching_maps.rerun import Entry
from acdc.interpret.patching_maps.sides import Base
from acdc.patching.activations import ActivationCache
from acdc.patching.attention import head_results

__all__ = ["check_source", "destinations_of", "edge_entry", "node_entry", "place_of", "written_change"]


def check_source(graph: Graph, name: str) -> str:
    """The name, if it is a source's.

    Raises:
        UnknownNameError: There is no such node, or it writes nothing (`logits`).
    """
    if name not in graph.src_index:
        raise unknown_name("node that writes", name, graph.sources)
    return name


def destinations_of(graph: Graph, name: str) -> tuple[str, ...]:
    """The destinations of a name: a head's three inputs, or the one that is named.

    Raises:
        UnknownNameError: There is none.
    """
    inputs = tuple(f"{name}<{kind}>" for kind in "qkv")
    if inputs[0] in graph.dst_index:
        return inputs
    if name not in graph.dst_index:
        raise unknown_name("node that reads", name, graph.destinations)
    return (name,)


def place_of(base: Base, source: str) -> tuple[int, bool]:
    """Where what a source writes enters the stream: before which block, and whether behind its attention."""
    layer = base.model.graph.layer_of(source)
    match kind_of(source):
        case "input":
            return 0, False
        case "head" if not base.parallel:
            return layer, True
        case _:
            return layer + 1, False


@torch.no_grad()
def written_change(base: Base, donor: ActivationCache, source: str) -> Float[Tensor, "batch pos d_model"]:
    """What a source writes in the other run, less what it writes in the patched one."""
    graph = base.model.graph
    layer, mine, other = graph.layer_of(source), base.run.outputs, donor.outputs
    match kind_of(source):
        case "input":
            return other.input - mine.input
        case "mlp":
            return other.mlp[layer] - mine.mlp[layer]
        case _:
            h = graph.src_index[source] - graph.head_src(layer)
            attention = base.model.components.blocks[layer].attention
            return head_results(attention, (other.z[layer][h] - mine.z[layer][h])[None], [h])[0]


def node_entry(key: object, base: Base, donor: ActivationCache, source: str, start: int) -> Entry:
    """A node that writes what it writes in the other run, to all who read it."""
    return Entry(key, *place_of(base, source), written_change(base, donor, source)[:, start:])


def edge_entry(key: object, base: Base, donor: ActivationCache, source: str, dsts: Sequence[str], start: int) -> Entry:
    """The edges from a source to some destinations that carry what they carry in the other run; of destinations that
    don't come behind the source, none is an edge."""
    graph = base.model.graph
    change = written_change(base, donor, source)[:, start:]
    reads = {dst: change for dst in dsts if graph.src_index[source] < int(graph.upstream[graph.dst_index[dst]])}
    first = min(graph.layer_of(dst) for dst in reads)
    return Entry(key, first, False, torch.zeros_like(change), reads=reads)
