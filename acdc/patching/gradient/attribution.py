"""First-order effects of edges: what each source would change, times the gradient where it is read.

    effect[s, d] = Σ_{b,p} (ablated_s - clean_s)[b,p] · ∂loss/∂x_d[b,p]

positive where removing the edge makes the loss worse. Tokens at which the ablated run can't differ add nothing and are
left out. Sums are in float32 at least.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.options.defaults import MEMORY
from acdc.patching.activations import NodeOutputs
from acdc.patching.gradient.backward import backward
from acdc.patching.gradient.microbatch import Microbatch, Note, over_microbatches
from acdc.patching.gradient.rules import DERIVATIVES, Rules, check_rules
from acdc.patching.gradient.streams import ResidualStreams
from acdc.patching.problem import Problem
from acdc.patching.spans import span_masks

__all__ = ["Contraction", "Point", "edge_effects", "node_effects"]


class Point(NamedTuple):
    """A run at which gradients are taken.

    Attributes:
        weight: Its share in the average.
        sources: Only edges out of these sources get a share; all if None.
        change: What the gradients are multiplied with; `ablated_s - clean_s` if None.
        noted: What else was found on the way, by name; see `take` of `edge_effects`.
    """

    weight: float
    streams: ResidualStreams
    sources: slice | None = None
    change: NodeOutputs | None = None
    noted: Mapping[str, Any] = {}


@torch.no_grad()
def edge_effects(
    problem: Problem,
    points: Callable[[Microbatch], Iterable[Point]],
    *,
    rules: Rules = DERIVATIVES,
    memory: int = MEMORY,
    n_groups: int = 1,
    runs: int = 1,
    take: Callable[[Mapping[str, Any]], None] | None = None,
    note: Note | None = None,
) -> Float[Tensor, "groups src dst"]:
    """Each edge's first-order effect on the mean loss, the gradients averaged over `points`.

    Args:
        points: The runs of a microbatch of the prompts at which gradients are taken.
        rules: What takes the place of derivatives.
        n_groups, runs, note: See `over_microbatches`.
        take: Given what the points of each microbatch noted, in the microbatches' order; in every process.

    Returns:
        For each group the part of the mean that its prompts make up, so that the sum over the groups is the effect;
        NaN where there is no edge. On the CPU, in float64.

    Raises:
        ModelError: The rules don't know a part of the model.
    """
    check_rules(problem.model, rules)
    graph = problem.graph
    total = torch.zeros(n_groups, graph.n_src, graph.n_dst, dtype=torch.float64)

    def of_microbatch(microbatch: Microbatch) -> tuple[Tensor, Mapping[str, Any]]:
        contraction = Contraction(microbatch)
        for point in points(microbatch):
            contraction.begin(point)
            backward(microbatch, point.streams, read=contraction.read)
        return contraction.effects.double().cpu(), contraction.noted

    split = {"memory": memory, "n_groups": n_groups, "runs": runs}
    for group, (effects, noted) in over_microbatches(problem, of_microbatch, rules=rules, note=note, **split):
        total[group] += effects
        if take is not None:
            take(noted)
    return (total / problem.batch.n).masked_fill(~graph.edges_mask, math.nan)


class Contraction:
    """Sums `Δ_s · G_d` of one microbatch over its points.

    Attributes:
        by_span: The sums so far, `[src destination span]`.
        weight: Of what is read next.
        sizes: Whether to sum the sizes of the prompts' products, not the products.
    """

    def __init__(self, microbatch: Microbatch, *, sizes: bool = False) -> None:
        graph, device = microbatch.model.graph, microbatch.input.device
        self.microbatch, self.upstream, self.sizes = microbatch, graph.upstream.tolist(), sizes
        self.weight, self.sources, self.rows = 1.0, slice(0, graph.n_src), microbatch.grouped
        n_spans = self.rows.last
        self.by_span = torch.zeros(graph.n_src, graph.n_dst, n_spans, dtype=microbatch.accumulator, device=device)
        self.change: NodeOutputs | None = None
        self.held = self._written()
        self.noted = dict[str, Any]()

    @property
    def effects(self) -> Float[Tensor, "src dst"]:
        """The sums so far, split by span."""
        return self.by_span.flatten(1)

    def begin(self, point: Point) -> None:
        self.weight, self.sources = point.weight, point.sources or slice(0, len(self.by_span))
        self.noted |= point.noted
        if point.change is not self.change:
            self.change, self.held = point.change, None  # the old one is let go before the new one is made
            self.held = self._written()

    def _written(self) -> Float[Tensor, "src rows d_model"] | None:
        """What all sources change in the residual stream, where that fits into the memory."""
        n_src = len(self.by_span)
        return self.microbatch.written(0, n_src, self.change) if self.microbatch.source_block >= n_src else None

    def read(self, first: int, gradient: Float[Tensor, "n rows d_model"]) -> None:
        """Take in the gradients of destinations that follow each other, and read about the same sources."""
        gradient = gradient.to(self.by_span.dtype)
        groups = range(self.rows.last)
        if first == self.by_span.shape[1] - 1:  # the logits'
            groups = range(self.rows.last, self.rows.last + 1)
        start, stop = self.sources.start, min(self.sources.stop, self.upstream[first + len(gradient) - 1])
        block = stop if self.held is not None else self.microbatch.source_block
        for low in range(start, stop, block):
            high = min(low + block, stop)
            change = self.held[low:high] if self.held is not None else self.microbatch.written(low, high, self.change)
            for group in groups:
                product = self._product(self.rows.read(change, group), self.rows.read(gradient, group), group)
                effects = self.by_span[low:high, first : first + len(gradient), min(group, self.rows.last - 1)]
                effects.add_(product, alpha=self.weight)

    def _product(
        self, change: Float[Tensor, "src rows d_model"], gradient: Float[Tensor, "n rows d_model"], group: int
    ) -> Float[Tensor, "src n"]:
        """`Δ_s · G_d` at a group of rows, or the sum of its sizes over prompts."""
        if not self.sizes:
            return change.flatten(1) @ gradient.flatten(1).T
        of_prompts = [stop - start for start, stop in self.rows.stretches[group]]
        pairs = zip(change.split(of_prompts, 1), gradient.split(of_prompts, 1), strict=True)
        return torch.stack([(c.flatten(1) @ g.flatten(1).T).abs() for c, g in pairs]).sum(0)


@torch.no_grad()
def node_effects(
    problem: Problem,
    points: Callable[[Microbatch], Iterable[Point]],
    *,
    change: Callable[[Microbatch], NodeOutputs] = attrgetter("change"),
    rules: Rules = DERIVATIVES,
    memory: int = MEMORY,
    runs: int = 1,
    take: Callable[[Mapping[str, Any]], None] | None = None,
    note: Note | None = None,
) -> Float[Tensor, "batch site"]:
    """Each source's first-order effect on each prompt's loss: `Σ_p change_s[p] · ∂loss/∂out_s[p]`.

    Args:
        points, rules, runs, take: As in `edge_effects`.
        change: What is multiplied with the gradients at points that don't say; `ablated_s - clean_s` if not given.

    Returns:
        Positive where ablating the source makes the prompt's loss worse; the sum over each span's tokens where edges
        are split (`Graph.sites`). On the CPU, in float64.

    Raises:
        ModelError: The rules don't know a part of the model.
    """
    check_rules(problem.model, rules)

    def of_microbatch(microbatch: Microbatch) -> tuple[Float[Tensor, "n site"], Mapping[str, Any]]:
        usual = change(microbatch)
        product, noted = _NodeProduct(microbatch, usual), dict[str, Any]()
        for point in points(microbatch):
            product.weight, product.change = point.weight, usual if point.change is None else point.change
            backward(microbatch, point.streams, wrote=product.wrote)
            noted |= point.noted
        return product.effects.double().cpu(), noted

    effects = list[Tensor]()
    for _, (found, noted) in over_microbatches(
        problem, of_microbatch, rules=rules, memory=memory, runs=runs, note=note
    ):
        effects.append(found)
        if take is not None:
            take(noted)
    return torch.cat(effects)


class _NodeProduct:
    """Sums `Δ_s · ∂loss/∂out_s` of one microbatch over its points, prompt by prompt."""

    def __init__(self, microbatch: Microbatch, change: NodeOutputs) -> None:
        graph, self.dtype = microbatch.model.graph, microbatch.accumulator
        self.change, self.n_heads, self.weight = change, graph.n_heads, 1.0
        batch, n_sites = microbatch.batch, graph.n_src * microbatch.grouped.last
        self.effects = torch.zeros(batch.n, n_sites, dtype=self.dtype, device=microbatch.input.device)
        self.in_span = span_masks(batch, self.dtype)

    def wrote(self, first: int, gradient: Float[Tensor, "n batch pos d"]) -> None:
        """Take in the gradients of sources of one component that follow each other."""
        n = len(gradient)
        change, gradient = self._of(first, n).to(self.dtype), gradient.to(self.dtype)
        if self.in_span is None:
            product = torch.einsum("nbpe,nbpe->bn", change, gradient)
        else:
            at_tokens = torch.einsum("nbpe,nbpe->bpn", change, gradient)
            product = torch.einsum("bpn,bps->bns", at_tokens, self.in_span).flatten(1)
        size = product.shape[1] // n
        self.effects[:, first * size : (first + n) * size].add_(product, alpha=self.weight)

    def _of(self, first: int, n: int) -> Float[Tensor, "n batch pos d"]:
        if first == 0:
            return self.change.input[None]
        layer, head = divmod(first - 1, self.n_heads + 1)
        return self.change.mlp[layer][None] if head == self.n_heads else self.change.z[layer][head : head + n]
