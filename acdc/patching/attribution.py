"""First-order effects of edges: what each source would change, times the gradient where it is read.

    effect[s, d] = Σ_{b,p} (ablated_s - clean_s)[b,p] · ∂loss/∂x_d[b,p]

positive where removing the edge makes the loss worse. Prompts are taken in parts that fit into a given memory. Heads
stay in head space, and what they would change is mapped through `W_O` for one part alone: the product is then taken in
the residual stream, where it costs `d_head` times less than one through every pair of heads would. Tokens at which the
ablated run can't differ add nothing and are left out.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.patching.activations import Outputs
from acdc.patching.gradient import Part, Streams, backward
from acdc.patching.problem import Problem

__all__ = ["MEMORY", "Piece", "Point", "edge_effects", "node_effects", "pieces"]

MEMORY = 256 * 2**20
Note = Callable[[int, int], None]  # parts done, of all


class Point(NamedTuple):
    """A run at which gradients are taken.

    Attributes:
        weight: Its share in the average.
        sources: Only edges out of these sources get a share; all if None.
    """

    weight: float
    streams: Streams
    sources: slice | None = None


@dataclass(frozen=True)
class Piece:
    """Some prompts of a problem, and what ablation changes there.

    Attributes:
        part: What runs need.
        clean: The clean run's streams.
        input: What the source `input` writes.
        change: `ablated_s - clean_s` of every source at every token, heads in head space.
        group: The group of prompts that it belongs to.
        source_bytes: Memory for sources' changes in the residual stream.
    """

    part: Part
    clean: Streams
    input: Float[Tensor, "batch pos d_model"]
    change: Outputs
    group: int
    source_bytes: int

    def written(self, first: int, stop: int) -> Float[Tensor, "src rows d_model"]:
        """The changes of sources `first` to `stop` in the residual stream, at the part's rows."""
        graph, blocks = self.part.model.graph, self.part.model.parts.blocks
        found = [self._at_rows(self.change.input[None])] if first == 0 else []
        for layer, block in enumerate(blocks):
            start = graph.head_src(layer)
            heads = slice(max(first - start, 0), min(max(stop - start, 0), graph.n_heads))
            if heads.start < heads.stop:
                found.append(torch.bmm(self._at_rows(self.change.z[layer][heads]), block.attention.W_O[heads]))
            if first <= graph.mlp_src(layer) < stop:
                found.append(self._at_rows(self.change.mlp[layer][None]))
        return torch.cat(found).to(accumulator(self.part))

    def _at_rows(self, x: Float[Tensor, "n batch pos d"]) -> Float[Tensor, "n rows d"]:
        return x.flatten(1, 2)[:, self.part.rows]

    @property
    def source_block(self) -> int:
        """How many sources' changes fit into the memory."""
        row = self.part.model.graph.d_model * accumulator(self.part).itemsize
        return max(1, self.source_bytes // (len(self.part.rows) * row))


def accumulator(part: Part) -> torch.dtype:
    """Type in which effects are summed: float32, or float64 where the weights are."""
    return torch.float64 if part.model.dtype == torch.float64 else torch.float32


def pieces(problem: Problem, *, memory: int = MEMORY, n_groups: int = 1) -> Iterator[Piece]:
    """The problem's prompts, in pieces for which gradients take about `memory` bytes.

    Args:
        n_groups: Into how many groups of prompts that follow each other to part them; no piece is in two.
    """
    rows = torch.arange(problem.batch.n, device=problem.batch.clean.device)
    size, heads, source_bytes = _plan(problem, memory)
    for group, members in enumerate(rows.tensor_split(n_groups)):
        for chosen in members.split(size):
            yield _piece(problem, chosen, heads, group, source_bytes)


def n_pieces(problem: Problem, memory: int, n_groups: int) -> int:
    """How many pieces `pieces` gives."""
    size, rows = _plan(problem, memory)[0], torch.arange(problem.batch.n)
    return sum(math.ceil(len(members) / size) for members in rows.tensor_split(n_groups))


def _plan(problem: Problem, memory: int) -> tuple[int, int, int]:
    """Prompts in a piece, heads at once, and bytes for sources."""
    graph, width = problem.model.graph, problem.batch.n_pos
    number = max(4, problem.model.dtype.itemsize)
    per_head = 12 * graph.d_model + 8 * width  # per token: copies of the gradients of q, k, v, and attention's rows
    base = (30 + 8 * graph.n_layers) * graph.d_model  # the MLP's graph, the streams, the changes in head space
    per_prompt = width * number * (graph.n_src * graph.d_model + graph.n_heads * per_head + base)
    if per_prompt <= memory:
        return memory // per_prompt, graph.n_heads, memory
    half = memory // 2
    return 1, min(graph.n_heads, max(1, half // (width * number * per_head))), half


def _piece(problem: Problem, rows: Tensor, heads: int, group: int, source_bytes: int) -> Piece:
    batch = problem.batch.select(rows)
    start = problem.batch.n_pos - batch.n_pos
    clean, ablated = problem.clean.outputs, problem.ablated.outputs
    change = Outputs(
        ablated.input[rows, start:] - clean.input[rows, start:],
        tuple(new[:, rows, start:] - old[:, rows, start:] for new, old in zip(ablated.z, clean.z, strict=True)),
        tuple(new[rows, start:] - old[rows, start:] for new, old in zip(ablated.mlp, clean.mlp, strict=True)),
    )
    active = problem.ablated.active[rows, start:].flatten().nonzero()[:, 0]
    part = Part(problem.model, batch, problem.objective.select(rows), active, heads)
    return Piece(part, Streams.of(problem.clean, rows, start), clean.input[rows, start:], change, group, source_bytes)


@torch.no_grad()
def edge_effects(
    problem: Problem,
    points: Callable[[Piece], Iterable[Point]],
    *,
    memory: int = MEMORY,
    n_groups: int = 1,
    note: Note | None = None,
) -> Float[Tensor, "groups src dst"]:
    """Each edge's first-order effect on the mean loss, the gradients averaged over `points`.

    Args:
        points: The runs of a piece of the prompts at which gradients are taken.
        n_groups: See `pieces`.
        note: Told of the progress.

    Returns:
        For each group the part of the mean that its prompts make up, so that the sum over the groups is the effect;
        NaN where there is no edge. On the CPU, in float64.
    """
    graph = problem.model.graph
    total = torch.zeros(n_groups, graph.n_src, graph.n_dst, dtype=torch.float64)
    count = n_pieces(problem, memory, n_groups)
    for done, piece in enumerate(pieces(problem, memory=memory, n_groups=n_groups)):
        contraction = _Contraction(piece)
        for point in points(piece):
            contraction.begin(point)
            backward(piece.part, point.streams, read=contraction.read)
        total[piece.group] += contraction.effects.double().cpu()
        if note is not None:
            note(done + 1, count)
    return (total / problem.batch.n).masked_fill(~graph.edges_mask, math.nan)


class _Contraction:
    """Sums `Δ_s · G_d` of one piece over its points."""

    def __init__(self, piece: Piece) -> None:
        graph, device = piece.part.model.graph, piece.input.device
        self.piece, self.upstream = piece, graph.upstream.tolist()
        self.effects = torch.zeros(graph.n_src, graph.n_dst, dtype=accumulator(piece.part), device=device)
        self.held = piece.written(0, graph.n_src) if piece.source_block >= graph.n_src else None
        rows, n_pos = piece.part.rows, piece.part.batch.n_pos
        self.targets = (rows % n_pos == n_pos - 1).nonzero()[:, 0]

    def begin(self, point: Point) -> None:
        self.weight, self.sources = point.weight, point.sources or slice(0, len(self.effects))

    def read(self, first: int, gradient: Float[Tensor, "n rows d_model"]) -> None:
        """Take in the gradients of destinations that read the same sources."""
        gradient = gradient.to(self.effects.dtype).flatten(1)
        at_targets = first == self.effects.shape[1] - 1
        start, stop = self.sources.start, min(self.sources.stop, self.upstream[first])
        block = stop if self.held is not None else self.piece.source_block
        for low in range(start, stop, block):
            high = min(low + block, stop)
            change = self.held[low:high] if self.held is not None else self.piece.written(low, high)
            change = change[:, self.targets] if at_targets else change
            product = change.flatten(1) @ gradient.T
            self.effects[low:high, first : first + len(gradient)].add_(product, alpha=self.weight)


@torch.no_grad()
def node_effects(
    problem: Problem,
    points: Callable[[Piece], Iterable[Point]],
    *,
    change: Callable[[Piece], Outputs] = lambda piece: piece.change,
    memory: int = MEMORY,
    note: Note | None = None,
) -> Float[Tensor, "batch src"]:
    """Each source's first-order effect on each prompt's loss: `Σ_p change_s[p] · ∂loss/∂out_s[p]`.

    Args:
        points: As in `edge_effects`.
        change: What is multiplied with the gradients; `ablated_s - clean_s` if not given.

    Returns:
        Positive where ablating the source makes the prompt's loss worse. On the CPU, in float64.
    """
    found, count = [], n_pieces(problem, memory, 1)
    for piece in pieces(problem, memory=memory):
        graph, moved = piece.part.model.graph, change(piece)
        effects = torch.zeros(piece.part.batch.n, graph.n_src, dtype=torch.float64)
        sources = _by_source(moved, graph.n_heads)
        for point in points(piece):

            def wrote(first: int, g: Tensor, point: Point = point) -> None:
                there = sources(first, len(g))
                product = torch.einsum(
                    "nbpe,nbpe->bn", there.to(accumulator(piece.part)), g.to(accumulator(piece.part))
                )
                effects[:, first : first + len(g)] += point.weight * product.double().cpu()

            backward(piece.part, point.streams, wrote=wrote)
        found.append(effects)
        if note is not None:
            note(len(found), count)
    return torch.cat(found)


def _by_source(outputs: Outputs, n_heads: int) -> Callable[[int, int], Tensor]:
    """Finds `n` sources' outputs, from a first one of the same component on."""

    def find(first: int, n: int) -> Tensor:
        if first == 0:
            return outputs.input[None]
        layer, head = divmod(first - 1, n_heads + 1)
        return outputs.mlp[layer][None] if head == n_heads else outputs.z[layer][head : head + n]

    return find
