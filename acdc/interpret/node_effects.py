"""Exact effects of nodes, prompt by prompt: what the loss becomes when one node's output alone is ablated."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from acdc.circuits.names import base_of, span_of
from acdc.errors import unknown_name
from acdc.interpret.continued import continued, resid_at
from acdc.interpret.places import spans_of
from acdc.patching.attention import head_results
from acdc.patching.problem import Problem

__all__ = ["final_without", "node_effects", "prompt_losses"]


@torch.no_grad()
def node_effects(
    problem: Problem, nodes: Sequence[str], *, step: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Float64[Tensor, " batch"]]:
    """By how much each prompt's loss rises when a node carries its ablated output, at all positions and to all readers.

    All else of the model runs: this is noising of one node, not of a node in a circuit.

    Args:
        nodes: Names of sources, like `a3.h1` and `m4`; a node at a span that the batch names, like `a3.h1@S2`, carries
            its ablated output at that span's tokens alone.
        step: Told how many nodes are done.

    Returns:
        In the metric's unit, positive where ablation hurts.

    Raises:
        UnknownNameError: The model has no such node, or the batch no such span.
    """
    found = dict[str, Tensor]()
    clean = prompt_losses(problem, problem.clean.final)
    for done, name in enumerate(nodes, 1):
        found[name] = prompt_losses(problem, final_without(problem, name)) - clean
        step(done, len(nodes))
    return found


@torch.no_grad()
def final_without(problem: Problem, node: str) -> Float[Tensor, "batch columns d_model"]:
    """The last residual stream when a node carries its ablated output, at the last columns, where it can differ.

    Raises:
        UnknownNameError: The model has no such head or MLP, or the batch no such span.
    """
    graph, name = problem.model.graph, base_of(node)
    if name not in graph.src_index or name == "input":
        raise unknown_name("head or MLP", name, graph.sources[1:])
    layer = graph.layer_of(name)
    stream = _after(problem, name, layer, _where(problem, span_of(node)))
    return continued(problem.model, problem.batch, problem.clean, stream, layer=layer + 1)


def _where(problem: Problem, span: str) -> Bool[Tensor, "batch pos"]:
    """Where the ablated run can differ, at all tokens or at those of a span."""
    active, batch = problem.ablated.active, problem.batch
    if not span:
        return active
    spans = spans_of(batch)
    if spans is None or span not in spans.names:
        raise unknown_name("span", span, () if spans is None else spans.names)
    return active & (spans.ids == spans.names.index(span))


def _after(
    problem: Problem, name: str, layer: int, where: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch columns d_model"]:
    """The residual stream behind a block in which a head's or the MLP's output is the ablated one at some tokens; from
    the first of their columns on, or the last column alone."""
    start = int(where.any(0).int().argmax()) if bool(where.any()) else where.shape[1] - 1
    block, clean, ablated = problem.model.components.blocks[layer], problem.clean, problem.ablated.outputs
    stream, here = resid_at(clean, layer + 1)[:, start:], where[:, start:, None]
    if name.startswith("m"):
        return stream + (ablated.mlp[layer] - clean.outputs.mlp[layer])[:, start:] * here
    head = int(name.partition(".h")[2])
    z = (ablated.z[layer][head] - clean.outputs.z[layer][head])[None, :, start:]
    change = head_results(block.attention, z, [head])[0] * here
    if problem.model.components.parallel:
        return stream + change
    read = clean.resid_mid[layer][:, start:] + change
    return stream + change + block.mlp(block.ln2(read)) - clean.outputs.mlp[layer][:, start:]


def prompt_losses(problem: Problem, final: Float[Tensor, "batch columns d_model"]) -> Float64[Tensor, " batch"]:
    """The loss of each prompt, from the last residual stream."""
    objective = problem.objective
    values = objective.values(problem.model.unembed(final[:, -1], objective.tokens))
    return objective.metric.loss(values.double()).cpu()
