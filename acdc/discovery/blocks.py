"""Removal of edges in blocks, those of the smallest slope first.

    while blocks can be removed:
        order the circuit's edges by |slope|, slope[s, d] = -∂loss/∂w[s, d] at the circuit, where w = 1
        until a third of them is gone:
            remove the next block if the loss rises by less than tau, else try a smaller one

A slope is the rise of the loss when the edge alone is removed, to first order. One weighted forward and backward pass
gives those of all edges, and one masked pass decides a block; so a large model's edges become few in some dozen passes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.discovery.checkpoint import Checkpoint, remembered
from acdc.discovery.selection.candidates import Mask
from acdc.errors import RunError
from acdc.options.defaults import MASKED_MEMORY
from acdc.patching.problem import Problem
from acdc.patching.weighted import weighted_logits
from acdc.progress import Progress

__all__ = ["Blocks"]

Removes = Callable[[float], bool]
Places = Int[Tensor, " edges"]  # flat, in [src, dst]
SMALLEST = 16  # edges of a block; below, ACDC's own propagation of a single edge is cheaper than a masked pass
SURVEYED = 2 / 3  # of the edges whose slopes were taken: when fewer are left, slopes are taken anew
PATIENCE = 3  # blocks of the smallest size that fail one after another, after which blocks are no use


@dataclass
class Blocks:
    """Removal of many edges at a time.

    Args:
        problem: Model, batch, clean and ablated runs, metric.
        removes: Whether a block is removed at this rise of the loss.
        checkpoint: Where losses and orders are recorded, and those of a stopped search read.
        progress: Told of how many edges are decided.

    Attributes:
        measured: How many blocks were tried.
        surveys: How often slopes were taken.
        left: How many edges are left.
    """

    problem: Problem
    removes: Removes
    checkpoint: Checkpoint | None
    progress: Callable[[Progress], None] | None
    measured: int = 0
    surveys: int = 0
    left: int = 0

    def remove(self, edges: Sequence[int]) -> Mask:
        """Remove blocks, as long as blocks can be removed; what is left of `edges`."""
        mask = self._mask(edges)
        loss, size, failures, grows = self._loss(mask), len(edges) // 4, 0, True
        pending, surveyed = self._by_slope(mask), int(mask.sum())
        while len(pending) and failures < PATIENCE and size >= SMALLEST:
            self._tell(len(edges) - len(pending), len(edges), mask)
            without = mask.clone()
            without.view(-1)[pending[:size]] = False
            without = self.problem.prune(without)
            new = self._loss(without)
            if self.removes(new - loss):
                mask, loss, failures = without, new, 0
                pending = pending[size:]
                pending = pending[mask.view(-1)[pending]]
                size, grows = (2 * size if grows else size), True
            elif size // 2 >= SMALLEST:
                size, grows = size // 2, False
            else:  # these are left to be tried one by one
                pending, failures, grows = pending[size:], failures + 1, False
            kept = int(mask.sum())
            if kept < SURVEYED * surveyed or (failures == PATIENCE and kept < surveyed):
                pending, surveyed, failures = self._by_slope(mask), kept, 0
        self.left = int(mask.sum())
        return mask

    def _by_slope(self, mask: Mask) -> Places:
        """The kept edges by the size of their slope, the smallest first; a stopped search's order where it is known."""
        edges = mask.flatten().nonzero()[:, 0]
        self.surveys += 1
        order = remembered(
            self.checkpoint,
            lambda values: sorted(values) == edges.tolist(),
            lambda: _weakest_first(edges, self._slopes(mask)).double().tolist(),
        )
        return torch.tensor(order, dtype=torch.long)

    def _slopes(self, mask: Mask) -> Float[Tensor, "src dst"]:
        """`-∂loss/∂w` of every kept edge's weight, at weights of 1."""
        problem = self.problem
        weights = mask.to(torch.float64).requires_grad_()
        with torch.enable_grad():
            logits = weighted_logits(problem.masked, weights, live=mask.any(1), memory=MASKED_MEMORY)
            tokens = problem.objective.tokens
            loss = problem.objective.loss(logits if tokens is None else logits[:, tokens]).sum()
        return -torch.autograd.grad(loss, weights)[0]

    def _mask(self, edges: Sequence[int]) -> Mask:
        mask = torch.zeros_like(self.problem.model.graph.edges_mask)
        mask.view(-1)[torch.tensor(edges, dtype=torch.long)] = True
        return self.problem.prune(mask)

    def _loss(self, mask: Mask) -> float:
        """The circuit's loss, measured now or by the search that was stopped."""
        self.measured += 1
        return remembered(self.checkpoint, lambda values: len(values) == 1, lambda: [self._measured(mask)])[0]

    def _measured(self, mask: Mask) -> float:
        loss = self.problem.loss(self.problem.logits(mask))
        if math.isnan(loss):
            raise RunError("the loss of a circuit becomes NaN; use a wider dtype (float32 or float64)")
        return loss

    def _tell(self, done: int, total: int, mask: Mask) -> None:
        if self.progress is not None:
            self.progress(Progress(done, total, int(mask.sum()), "blocks of edges", self.measured, "edges"))


def _weakest_first(edges: Places, slopes: Float[Tensor, "src dst"]) -> Places:
    """Edges by the size of their slopes; where one is NaN, last."""
    sizes = slopes.flatten()[edges].abs().nan_to_num(nan=torch.inf)
    return edges[sizes.argsort(stable=True)]
