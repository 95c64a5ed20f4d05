"""Some prompts of a problem, at once: what the gradient engine's runs on them need, and what ablation changes there.

Prompts are taken in microbatches that fit into a given memory. Heads stay in head space, and what they would change is
mapped through `W_O` for one microbatch alone: the product with a gradient is then taken in the residual stream, where
it costs `d_head` times less than one through every pair of heads would.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import RunError
from acdc.metrics import Objective
from acdc.models import PatchableModel
from acdc.models.components import Block
from acdc.options.defaults import MEMORY
from acdc.patching.activations import NodeOutputs, mapped
from acdc.patching.attention import head_results
from acdc.patching.footprint import gradient_bytes
from acdc.patching.gradient.rules import DERIVATIVES, Rules
from acdc.patching.gradient.streams import ResidualStreams
from acdc.patching.layout import Layout
from acdc.patching.problem import Problem
from acdc.patching.prompt_blocks import block_size
from acdc.patching.rows import Rows
from acdc.prompts.batch import PromptBatch

__all__ = ["Microbatch", "Note", "over_microbatches"]

R = TypeVar("R")
Note = Callable[[int, int], None]  # microbatches done, of all


@dataclass(frozen=True)
class Microbatch:
    """Some prompts of a problem.

    Attributes:
        grouped: The tokens where destinations' gradients are wanted, by spans: those that ablation can change; the last
            positions are among them.
        clean: The clean run's streams.
        clean_outputs: What every source writes in the clean run.
        change: `ablated_s - clean_s` of every source at every token, heads in head space.
        heads_at_once: How many heads' gradients are held together.
        source_bytes: Memory for sources' changes in the residual stream.
        rules: How gradients go back.
    """

    model: PatchableModel
    batch: PromptBatch
    objective: Objective
    grouped: Rows
    clean: ResidualStreams
    clean_outputs: NodeOutputs
    change: NodeOutputs
    heads_at_once: int
    source_bytes: int
    rules: Rules

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The model's blocks, as gradients go back through them."""
        return tuple(self.rules.block(block, self.model.dtype) for block in self.model.components.blocks)

    @cached_property
    def layout(self) -> Layout:
        """Who may see whom."""
        return Layout(self.batch, self.model.dtype)

    @property
    def rows(self) -> Int[Tensor, " rows"]:
        """Flat `[batch pos]` indices of these tokens."""
        return self.grouped.index

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
            rows: Flat `[batch pos]` indices of tokens; `rows` if None.
        """
        graph, blocks = self.model.graph, self.model.components.blocks
        what, where = self.change if outputs is None else outputs, self.rows if rows is None else rows
        found = [what.input.flatten(0, 1)[None, where]] if first == 0 else []
        for layer, block in enumerate(blocks):
            start = graph.head_src(layer)
            heads = slice(max(first - start, 0), min(max(stop - start, 0), graph.n_heads))
            if heads.start < heads.stop:
                z = what.z[layer][heads].flatten(1, 2)[:, where]
                found.append(head_results(block.attention, z, range(graph.n_heads)[heads]))
            if first <= graph.mlp_src(layer) < stop:
                found.append(what.mlp[layer].flatten(0, 1)[None, where])
        return torch.cat(found).to(self.accumulator)

    @property
    def source_block(self) -> int:
        """How many sources' changes fit into the memory."""
        row = self.model.graph.d_model * self.accumulator.itemsize
        return max(1, self.source_bytes // (len(self.rows) * row))

    @property
    def accumulator(self) -> torch.dtype:
        """Type in which effects are summed: float32, or float64 where the weights are."""
        return torch.float64 if self.model.dtype == torch.float64 else torch.float32


def over_microbatches(
    problem: Problem,
    work: Callable[[Microbatch], R],
    *,
    rules: Rules = DERIVATIVES,
    memory: int = MEMORY,
    n_groups: int = 1,
    runs: int = 1,
    note: Note | None = None,
) -> Iterator[tuple[int, R]]:
    """`work` on the problem's prompts, in microbatches for which gradients take about `memory` bytes.

    The problem's processes share the microbatches, and each gets the results of all, in order.

    Args:
        rules: How gradients go back.
        n_groups: Into how many groups of prompts that follow each other to part them; no microbatch is in two.
        runs: How many runs' streams or outputs are held at once, beside the clean run's and the change.
        note: Told of the progress.

    Yields:
        The group, and what `work` gave.
    """
    size, heads, source_bytes = _plan(problem, memory, runs)
    groups = torch.arange(problem.batch.n, device=problem.batch.clean.device).tensor_split(n_groups)
    items = [(group, rows) for group, members in enumerate(groups) for rows in members.split(size)]
    results = problem.ranks.spread(items, lambda item: work(_microbatch(problem, item[1], heads, source_bytes, rules)))
    for done, ((group, _), result) in enumerate(zip(items, results, strict=True), 1):
        yield group, result
        if note is not None:
            note(done, len(items))


def _plan(problem: Problem, memory: int, runs: int) -> tuple[int, int, int]:
    """Prompts in a microbatch, heads at once, and bytes for sources."""
    if memory < 1:
        raise RunError(f"memory must be a positive number of bytes, not {memory!r}")
    graph = problem.model.graph
    per_prompt, per_head = gradient_bytes(graph, problem.batch.n_pos, problem.model.dtype.itemsize, runs)
    if per_prompt <= memory:
        n, n_pos, on_cpu = problem.batch.n, problem.batch.n_pos, problem.model.device.type == "cpu"
        size = min(memory // per_prompt, block_size("gradient", graph, n, n_pos, on_cpu=on_cpu))
        return size, graph.n_heads, memory
    half = memory // 2
    return 1, min(graph.n_heads, max(1, half // per_head)), half


def _microbatch(problem: Problem, rows: Tensor, heads: int, source_bytes: int, rules: Rules) -> Microbatch:
    batch = problem.batch.select(rows)
    start = problem.batch.n_pos - batch.n_pos
    clean, ablated = (outputs.select(rows, start) for outputs in (problem.clean.outputs, problem.ablated.outputs))
    change = mapped(torch.sub, ablated, clean)
    return Microbatch(
        problem.model,
        batch,
        problem.objective.select(rows),
        Rows.of(problem.ablated.active[rows, start:], batch, first=0),
        ResidualStreams.of(problem.clean, rows, start),
        clean,
        change,
        heads,
        source_bytes,
        rules,
    )
