"""Information flow routes: how much of what a destination reads comes from each source (Ferrando & Voita 2024).

    proximity[s, d] = max(0, ‖x_d‖₁ - ‖x_d - out_s‖₁)
    score[s, d] = mean over tokens of proximity[s, d] / Σ_s' proximity[s', d]

One clean run; neither corrupted prompts nor a metric are used, so the scores say what the model writes and reads, not
what the task needs. They sum to 1 at each destination, and q, k and v of a layer's heads, which read one stream, get
the same. Tokens that no source comes near don't count. The logits are read at the targets alone.

Reference: Ferrando & Voita 2024, Information Flow Routes (arXiv 2403.00824), section 2.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.discovery.attribution.eap import noting
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes
from acdc.patching.gradient.microbatch import Microbatch, over_microbatches
from acdc.patching.problem import Problem
from acdc.progress import Progress
from acdc.prompts.batch import PromptBatch

__all__ = ["METHOD", "ifr"]


@torch.no_grad()
def ifr(problem: Problem, *, memory: Bytes = MEMORY, progress: Callable[[Progress], None] | None = None) -> EdgeScores:
    """Score every edge by its source's share in what its destination reads, in the clean run.

    Args:
        memory: About how many bytes the sources' outputs may take; prompts are taken in parts that fit.
    """
    graph, note = problem.graph, noting(progress, "flows")
    total = torch.zeros(graph.n_src, graph.n_dst, dtype=torch.float64)
    tokens = torch.zeros(graph.n_dst, dtype=torch.float64)
    for _, (shares, n) in over_microbatches(problem, _sums, memory=memory, note=note):
        total += shares
        tokens += n
    scores = (total / tokens.clamp_min(1)).masked_fill(~graph.edges_mask, math.nan)
    return EdgeScores(scores, "share", {"forward_passes": 1, "backward_passes": 0})


def _sums(microbatch: Microbatch) -> tuple[Float64[Tensor, "src dst"], Float64[Tensor, " dst"]]:
    """A microbatch's shares, summed over its tokens, and the number of tokens that count at each destination."""
    graph, batch = microbatch.model.graph, microbatch.batch
    n_spans = microbatch.grouped.last
    total = torch.zeros(graph.n_src, graph.n_dst, n_spans, dtype=torch.float64)
    tokens = torch.zeros(graph.n_dst, n_spans, dtype=torch.float64)
    real = batch.attention.flatten().nonzero()[:, 0]
    for layer in range(graph.n_layers):
        read = {graph.mlp_dst(layer): microbatch.clean.resid_mid[layer]}
        read |= {graph.head_dst(layer, kind): microbatch.clean.resid_pre[layer] for kind in QKV}
        seen: dict[int, tuple[Tensor, Tensor]] = {}
        for dst, stream in read.items():
            if id(stream) not in seen:
                seen[id(stream)] = _shares(microbatch, stream.flatten(0, 1)[real], int(graph.upstream[dst]), real)
            shares, n = seen[id(stream)]
            columns = slice(dst, dst + (1 if dst == graph.mlp_dst(layer) else graph.n_heads))
            total[: len(shares), columns] += shares[:, None]
            tokens[columns] += n
    targets = torch.arange(batch.n, device=real.device) * batch.n_pos + batch.n_pos - 1
    shares, n = _shares(microbatch, microbatch.clean.final[:, -1], graph.n_src, targets)
    total[:, -1] += shares
    tokens[-1] += n
    return total.flatten(1), tokens.flatten()


def _shares(
    microbatch: Microbatch, x: Float[Tensor, "rows d_model"], n_src: int, rows: Tensor
) -> tuple[Float64[Tensor, "src span"], Float64[Tensor, " span"]]:
    """Shares of the first sources in `x`, summed over each span's tokens, and the number of tokens that count."""
    found, block = [], microbatch.source_block
    size = x.double().abs().sum(-1)
    for low in range(0, n_src, block):
        written = microbatch.written(low, min(low + block, n_src), microbatch.clean_outputs, rows)
        apart = torch.stack([(x - out).double().abs().sum(-1) for out in written])
        found.append((size - apart).clamp_min(0))
    proximity = torch.cat(found)
    sums = proximity.sum(0)
    at_spans = [counted & (sums > 0) for counted in _in_spans(microbatch.batch, rows)]
    shares = [(proximity[:, counted] / sums[counted]).sum(1) for counted in at_spans]
    return torch.stack(shares, 1).cpu(), torch.stack([counted.sum() for counted in at_spans]).cpu().double()


def _in_spans(batch: PromptBatch, rows: Tensor) -> list[Bool[Tensor, " rows"]]:
    """Which rows are tokens of each span."""
    if batch.span_ids is None:
        return [torch.ones_like(rows, dtype=torch.bool)]
    return [batch.span_ids.flatten()[rows] == span for span in range(len(batch.spans))]


METHOD = Method(
    "ifr",
    "each source's share in what a destination reads",
    "Ferrando & Voita 2024",
    Scored(ifr),
    noising_only=True,
    aliases=("information-flow-routes",),
)
