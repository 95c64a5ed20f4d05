"""What a propagation takes, counted before it is made."""

from typing import NamedTuple

from acdc.patching.exact.reachability import Reach
from acdc.patching.problem import Problem

__all__ = ["Cost", "cost_of"]


class Cost(NamedTuple):
    """What each copy of the batch takes, and what all of them share.

    Attributes:
        memory, flops: Bytes held and floating-point operations of each copy.
        weights, layers: Bytes of weights that are read, and layers that are touched, once for all copies.
    """

    memory: int
    flops: int
    weights: int
    layers: int


def cost_of(problem: Problem, reach: Reach, n_rows: int) -> Cost:
    """About what it takes to propagate a change that reaches so far, where `n_rows` positions can change."""
    graph, batch, tokens = problem.model.graph, problem.batch.n, problem.objective.tokens
    d_model, d_head = graph.d_model, problem.clean.q[0].shape[-1]
    n_logits = len(problem.model.components.unembed) if tokens is None else len(tokens)
    flops, weights, at_once = 2 * batch * d_model * n_logits, d_model * n_logits, 0
    for block, touched in zip(problem.model.components.blocks, reach.layers, strict=True):
        at_all, at_last, inputs = len(touched.all_positions), len(touched.last_position), touched.inputs
        queries = at_all * n_rows + at_last * batch
        projected = (len(inputs["k"]) + len(inputs["v"])) * n_rows
        projected += sum(n_rows if h in touched.all_positions else batch for h in inputs["q"])
        layers_a_head = graph.n_heads if block.attention.post_norm_eps is not None else 1
        mlp = touched.mlp * (n_rows if touched.mlp_all_positions else batch)
        flops += layers_a_head * 2 * d_model * d_head * (projected + queries) + 16 * d_model * d_model * mlp
        weights += 4 * d_model * d_head * (at_all + at_last) + 8 * d_model * d_model * touched.mlp
        scores = 2 * queries * problem.batch.n_pos // d_model
        at_once = max(at_once, 2 * projected + queries + scores, 12 * mlp)
    rows = reach.n_all_positions * n_rows + reach.n_changed * batch + 4 * batch + at_once
    size = problem.clean.final.element_size()
    n_layers = sum(bool(each.all_positions or each.last_position or each.mlp) for each in reach.layers)
    return Cost(rows * d_model * size, flops, weights * size, n_layers)
