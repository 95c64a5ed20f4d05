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
from operator import attrgetter
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import RunError
from acdc.options.defaults import MEMORY
from acdc.patching.activations import NodeOutputs
from acdc.patching.attention import head_results
from acdc.patching.gradient.backward import Part, ResidualStreams, backward
from acdc.patching.problem import Problem

__all__ = ["Microbatch", "Point", "edge_effects", "n_pieces", "node_effects", "pieces"]

Note = Callable[[int, int], None]  # parts done, of all


class Point(NamedTuple):
    """A run at which gradients are taken.

    Attributes:
        weight: Its share in the average.
        sources: Only edges out of these sources get a share; all if None.
    """

    weight: float
    streams: ResidualStreams
    sources: slice | None = None


@dataclass(frozen=True)
class Microbatch:
    """Some prompts of a problem, and what ablation changes there.

    Attributes:
        part: What runs need.
        clean: The clean run's streams.
        clean_outputs: What every source writes in the clean run.
        change: `ablated_s - clean_s` of every source at every token, heads in head space.
        group: The group of prompts that it belongs to.
        source_bytes: Memory for sources' changes in the residual stream.
    """

    part: Part
    clean: ResidualStreams
    clean_outputs: NodeOutputs
    change: NodeOutputs
    group: int
    source_bytes: int

    @property
    def input(self) -> Float[Tensor, "batch pos d_model"]:
        """What the source `input` writes in the clean run."""
        return self.clean_outputs.input

    def written(
        self, first: int, stop: int, outputs: NodeOutputs | None = None, rows: Int[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "src rows d_model"]:
        """Sources' outputs in the residual stream.

        Args:
            first, stop: The first source, and the one after the last.
            outputs: `change` if None.
            rows: Flat `[batch pos]` indices of tokens; the part's rows if None.
        """
        graph, blocks = self.part.model.graph, self.part.model.components.blocks
        what, where = self.change if outputs is None else outputs, self.part.rows if rows is None else rows
        found = [what.input.flatten(0, 1)[None, where]] if first == 0 else []
        for layer, block in enumerate(blocks):
            start = graph.head_src(layer)
            heads = slice(max(first - start, 0), min(max(stop - start, 0), graph.n_heads))
            if heads.start < heads.stop:
                z = what.z[layer][heads].flatten(1, 2)[:, where]
                found.append(head_results(block.attention, z, range(graph.n_heads)[heads]))
            if first <= graph.mlp_src(layer) < stop:
                found.append(what.mlp[layer].flatten(0, 1)[None, where])
        return torch.cat(found).to(accumulator(self.part))

    @property
    def source_block(self) -> int:
        """How many sources' changes fit into the memory."""
        row = self.part.model.graph.d_model * accumulator(self.part).itemsize
        return max(1, self.source_bytes // (len(self.part.rows) * row))


def accumulator(part: Part) -> torch.dtype:
    """Type in which effects are summed: float32, or float64 where the weights are."""
    return torch.float64 if part.model.dtype == torch.float64 else torch.float32


def pieces(problem: Problem, *, memory: int = MEMORY, n_groups: int = 1) -> Iterator[Microbatch]:
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
    if memory < 1:
        raise RunError(f"memory must be a positive number of bytes, not {memory!r}")
    graph, width = problem.model.graph, problem.batch.n_pos
    number = max(4, problem.model.dtype.itemsize)
    per_head = 12 * graph.d_model + 8 * width  # per token: copies of the gradients of q, k, v, and attention's rows
    base = (30 + 8 * graph.n_layers) * graph.d_model  # the MLP's graph, the streams, the changes in head space
    per_prompt = width * number * (graph.n_src * graph.d_model + graph.n_heads * per_head + base)
    if per_prompt <= memory:
        return memory // per_prompt, graph.n_heads, memory
    half = memory // 2
    return 1, min(graph.n_heads, max(1, half // (width * number * per_head))), half


def _piece(problem: Problem, rows: Tensor, heads: int, group: int, source_bytes: int) -> Microbatch:
    batch = problem.batch.select(rows)
    start = problem.batch.n_pos - batch.n_pos
    clean, ablated = (_some(outputs, rows, start) for outputs in (problem.clean.outputs, problem.ablated.outputs))
    change = NodeOutputs(
        ablated.input - clean.input,
        tuple(new - old for new, old in zip(ablated.z, clean.z, strict=True)),
        tuple(new - old for new, old in zip(ablated.mlp, clean.mlp, strict=True)),
    )
    active = problem.ablated.active[rows, start:].flatten().nonzero()[:, 0]
    part = Part(problem.model, batch, problem.objective.select(rows), active, heads)
    return Microbatch(part, ResidualStreams.of(problem.clean, rows, start), clean, change, group, source_bytes)


def _some(outputs: NodeOutputs, rows: Tensor, start: int) -> NodeOutputs:
    """Those of some prompts, from a column on."""
    z, mlp = (tuple(x[..., rows, start:, :] for x in xs) for xs in (outputs.z, outputs.mlp))
    return NodeOutputs(outputs.input[rows, start:], z, mlp)


@torch.no_grad()
def edge_effects(
    problem: Problem,
    points: Callable[[Microbatch], Iterable[Point]],
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

    def __init__(self, piece: Microbatch) -> None:
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
    points: Callable[[Microbatch], Iterable[Point]],
    *,
    change: Callable[[Microbatch], NodeOutputs] = attrgetter("change"),
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
    found, count = list[Tensor](), n_pieces(problem, memory, 1)
    for piece in pieces(problem, memory=memory):
        product = _NodeProduct(piece, change(piece))
        for point in points(piece):
            product.weight = point.weight
            backward(piece.part, point.streams, wrote=product.wrote)
        found.append(product.effects.double().cpu())
        if note is not None:
            note(len(found), count)
    return torch.cat(found)


class _NodeProduct:
    """Sums `Δ_s · ∂loss/∂out_s` of one piece over its points, prompt by prompt."""

    def __init__(self, piece: Microbatch, change: NodeOutputs) -> None:
        graph, self.dtype = piece.part.model.graph, accumulator(piece.part)
        self.change, self.n_heads, self.weight = change, graph.n_heads, 1.0
        self.effects = torch.zeros(piece.part.batch.n, graph.n_src, dtype=self.dtype, device=piece.input.device)

    def wrote(self, first: int, gradient: Float[Tensor, "n batch pos d"]) -> None:
        """Take in the gradients of sources of one component that follow each other."""
        n = len(gradient)
        product = torch.einsum("nbpe,nbpe->bn", self._of(first, n).to(self.dtype), gradient.to(self.dtype))
        self.effects[:, first : first + n].add_(product, alpha=self.weight)

    def _of(self, first: int, n: int) -> Float[Tensor, "n batch pos d"]:
        if first == 0:
            return self.change.input[None]
        layer, head = divmod(first - 1, self.n_heads + 1)
        return self.change.mlp[layer][None] if head == self.n_heads else self.change.z[layer][head : head + n]
