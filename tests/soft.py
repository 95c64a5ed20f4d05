"""The differentiable oracle of first-order scores: a naive forward pass in which every edge can be moved a little."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from acdc.patching.problem import Problem
from tests.oracle import ablated_sources, naive_constant, naive_head, naive_unembed

Head = Callable[..., Tensor]  # as naive_head
Moved = Callable[[str, Tensor, Tensor], Tensor]  # source, its live output, its number on the edge: what is read


def mask_gradient(problem: Problem) -> Tensor:
    """`-∂loss/∂mask` at the whole model, where an edge reads `ablated + mask (live - ablated)`."""
    patched = ablated_sources(problem.model, problem.ablated.outputs)
    mask = problem.model.graph.edges_mask.double().requires_grad_()
    loss = _loss(problem, mask, lambda name, live, kept: patched[name] + kept * (live - patched[name]))
    return -torch.autograd.grad(loss, mask)[0]


def shift_gradient(
    problem: Problem,
    *,
    start: Tensor | None = None,
    forced: Mapping[str, Tensor] | None = None,
    head: Head = naive_head,
    change: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """`∂loss/∂shift` at 0, where an edge reads `live + shift change`.

    Args:
        start: The embedded input of the run; the clean one if None.
        forced: NodeOutputs that sources have whatever they read.
        head: What a head writes.
        change: By source; `ablated - clean` if None.
    """
    change = whole_change(problem) if change is None else change
    shift = torch.zeros_like(problem.model.graph.edges_mask, dtype=torch.float64).requires_grad_()
    loss = _loss(problem, shift, lambda name, live, by: live + by * change[name], start, forced or {}, head)
    return torch.autograd.grad(loss, shift)[0]


def whole_change(problem: Problem) -> dict[str, Tensor]:
    """`ablated - clean` by source, in the residual stream."""
    clean, ablated = (
        ablated_sources(problem.model, outputs) for outputs in (problem.clean.outputs, problem.ablated.outputs)
    )
    return {name: ablated[name] - clean[name] for name in clean}


def _loss(
    problem: Problem,
    numbers: Tensor,
    moved: Moved,
    start: Tensor | None = None,
    forced: Mapping[str, Tensor] = {},
    head: Head = naive_head,
) -> Tensor:
    model, batch, graph, components = problem.model, problem.batch, problem.model.graph, problem.model.components
    live = {"input": (problem.clean.outputs.input if start is None else start).detach()}
    constants = torch.zeros_like(live["input"])

    def read(dst: str) -> Tensor:
        j, total = graph.dst_index[dst], constants
        for i in range(int(graph.upstream[j])):
            total = total + moved(graph.sources[i], live[graph.sources[i]], numbers[i, j])
        return total

    for layer, block in enumerate(components.blocks):
        mlp_input = read(f"m{layer}") if graph.parallel else None
        heads = {}
        for h in range(graph.n_heads):
            q, k, v = (block.ln1(read(f"a{layer}.h{h}<{kind}>")) for kind in "qkv")
            heads[f"a{layer}.h{h}"] = head(model, batch, layer, h, q, k, v)
        live |= heads | {name: x for name, x in forced.items() if name in heads}
        constants = constants + naive_constant(block.attention)
        out = block.mlp(block.ln2(read(f"m{layer}") if mlp_input is None else mlp_input))
        live[f"m{layer}"] = forced.get(f"m{layer}", out)
    logits = naive_unembed(model, read("logits")[:, -1])
    metric = problem.objective.metric
    value = metric.function(logits, batch.correct, batch.wrong, problem.clean.logits).mean()
    return -value if metric.higher_is_better else value
