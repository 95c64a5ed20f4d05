"""The exact effects of named nodes and edges: each patched alone, and all of them together.

A node is patched by all its outgoing edges. Noising gives what removing it from the whole model does, denoising what it
alone restores in the corrupted run. Alone, nodes that back each other up (an OR) each look useless by noising, and
nodes that need each other (an AND) by denoising: what all do together says it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from acdc.errors import RunError
from acdc.interpret.patching_maps.making import made
from acdc.interpret.patching_maps.measuring import as_metrics, several
from acdc.interpret.patching_maps.node_map import NodeMap
from acdc.interpret.patching_maps.rerun import Entry
from acdc.interpret.patching_maps.sides import Base, Sides
from acdc.interpret.patching_maps.written import check_source, edge_entry, node_entry
from acdc.metrics import Metric
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY
from acdc.patching.activations import ActivationCache
from acdc.patching.direction import DIRECTIONS, check_direction, directed
from acdc.patching.problem import Problem
from acdc.progress import Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["TOGETHER", "effects"]

TOGETHER = "all together"


def effects(
    model: PatchableModel,
    batch: PromptBatch,
    *,
    nodes: str | Sequence[str] = (),
    edges: str | Sequence[str] = (),
    directions: str | Sequence[str] = DIRECTIONS,
    metrics: str | Metric | Sequence[str | Metric] = "logit_diff",
    memory: int = MEMORY,
    progress: Tell | None = None,
) -> tuple[NodeMap, ...]:
    """Patch nodes and edges by their names.

    Args:
        nodes: Sources: `a9.h9`, `m3`, `input`.
        edges: Like `a5.h5->a9.h9<q>`.

    Returns:
        A map for each direction and metric: a row for each name, and one for all of them if they are several.

    Raises:
        RunError: Nothing is named.
        UnknownNameError: There is no such node, direction or metric.
        CircuitError: There is no such edge.
        TaskError: The prompts don't fit the model or the metric.
    """
    graph, ways, chosen = model.graph, several(directions), as_metrics(metrics)
    sources = tuple(check_source(graph, name) for name in several(nodes))
    pairs = tuple(dict.fromkeys(graph.parse_edge(name) for name in several(edges)))
    for way in ways:
        check_direction(way)
    if not (sources or pairs):
        raise RunError("name the nodes or edges to patch, like nodes=['a9.h9'], edges=['a5.h5->a9.h9<q>']")
    names = (*sources, *(graph.edge_name(*pair) for pair in pairs))
    sides = Sides.of(model, batch)

    def entries(base: Base, donor: ActivationCache, start: int) -> Iterator[Entry]:
        for i, name in enumerate(sources):
            yield node_entry((i, 0), base, donor, name, start)
        for i, (src, dst) in enumerate(pairs, len(sources)):
            yield edge_entry((i, 0), base, donor, graph.sources[src], [graph.destinations[dst]], start)

    shape = (*names, *([TOGETHER] if len(names) > 1 else [])), ("effect",)
    trivial = np.zeros((len(shape[0]), 1), bool)
    found = made(sides, "nodes and edges", shape, trivial, entries, len(names), ways, chosen, memory, progress)
    return found if len(names) == 1 else tuple(_with_all(model, batch, each, sources, pairs) for each in found)


def _with_all(
    model: PatchableModel,
    batch: PromptBatch,
    found: NodeMap,
    sources: tuple[str, ...],
    pairs: tuple[tuple[int, int], ...],
) -> NodeMap:
    """The map with what all do together: the circuit without any of them."""
    whole = replace(batch, spans=(), span_ids=None)
    problem = directed(Problem.make(model, whole, metric=found.metric), found.direction)
    mask = model.graph.edges_mask
    for name in sources:
        mask[model.graph.src_index[name]] = False
    for pair in pairs:
        mask[pair] = False
    logits, objective = problem.logits(mask), problem.objective
    patched = found.patched.copy()
    tokens = objective.tokens
    values = objective.values(logits if tokens is None else logits[:, tokens])
    patched[-1, 0] = values.double().cpu().numpy()
    return replace(found, patched=patched)
