"""What a propagation takes, counted before it is made."""

from typing import NamedTuple

from acdc.circuits.graph import QKV
from acdc.patching.exact.reachability import Groups, Reach
from acdc.patching.problem import Problem
from acdc.patching.rows import Rows

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


def cost_of(problem: Problem, reach: Reach, rows: Rows) -> Cost:
    """About what it takes to propagate a change that reaches so far."""
    graph, batch, tokens = problem.model.graph, problem.batch.n, problem.objective.tokens
    d_model, d_head = graph.d_model, problem.clean.q[0].shape[-1]
    n_logits = len(problem.model.components.unembed) if tokens is None else len(tokens)
    flops, weights, at_once = 2 * batch * d_model * n_logits, d_model * n_logits, 0

    def at_rows(heads: Groups) -> int:
        return sum(len(some) * size for some, size in zip(heads, rows.sizes, strict=True))

    for block, touched in zip(problem.model.components.blocks, reach.layers, strict=True):
        n_heads = len(touched.all_positions) + len(touched.last_position)
        queries = at_rows(touched.heads)
        projected = sum(at_rows(touched.inputs[kind]) for kind in QKV)
        layers_a_head = graph.n_heads if block.attention.post_norm_eps is not None else 1
        mlp = sum(rows.sizes[group] for group in touched.mlp)
        flops += layers_a_head * 2 * d_model * d_head * (projected + queries) + 16 * d_model * d_model * mlp
        weights += 4 * d_model * d_head * n_heads + 8 * d_model * d_model * bool(touched.mlp)
        scores = 2 * queries * problem.batch.n_pos // d_model
        at_once = max(at_once, 2 * projected + queries + scores, 12 * mlp)
    twice = sum(count for group, count in enumerate(reach.counts) if rows.holding_last(group))
    held = sum(count * size for count, size in zip(reach.counts, rows.sizes[:-1], strict=False))
    size = problem.clean.final.element_size()
    n_layers = sum(bool(any(each.heads) or each.mlp) for each in reach.layers)
    return Cost((held + (twice + 4) * batch + at_once) * d_model * size, flops, weights * size, n_layers)
