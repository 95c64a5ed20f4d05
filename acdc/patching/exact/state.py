"""`CircuitState`: a circuit that can be asked what its loss would be without some edges, and that can lose them.

A question is answered by one propagation: the removed edges change the inputs of their destinations by
`ablated_s - out_s`, and only what these changes reach through kept edges is computed, at the positions where it is
read, for several questions at once, stacked as copies of the batch. The answer is the one that a whole masked forward
would give. The facts that this rests on are numbered in `docs/engine.md`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from acdc.patching.exact.cache import ablated_cache, clean_cache
from acdc.patching.exact.changes import Removal, Waiting
from acdc.patching.exact.cost import Cost, cost_of
from acdc.patching.exact.propagation import Question, propagate
from acdc.patching.exact.reachability import Reach, reach, reading
from acdc.patching.problem import Problem
from acdc.patching.rows import Rows

__all__ = ["CircuitState", "Edge"]

Edge = tuple[int, int]  # row of the source, column of the destination
MOST_WAITING = 64  # removals that are carried along before they are folded in
WORTH = 1.3  # how much more a question may touch on their account


class CircuitState:
    """A circuit and its activations on a problem's batch.

    Args:
        problem: Model, batch, clean and ablated runs, metric.
        mask: The edges that the circuit keeps at the start; all of the model's if None.
        memory: About how many bytes one propagation may take; it bounds the copies, not the model. The problem's own
            if None.

    Raises:
        CircuitError: The mask is no mask of this model's graph.

    Attributes:
        mask: The edges kept now; read it, don't write it.
        n_edges: How many they are.
        outgoing: How many of them leave each source, at each span.
        loss: The circuit's loss.
        forward_passes: Copies of the batch that were propagated so far.
        propagations: How often.
    """

    def __init__(
        self, problem: Problem, mask: Bool[Tensor, "src dst"] | None = None, *, memory: int | None = None
    ) -> None:
        self.problem, self.memory, self.graph = problem, memory or problem.step_memory, problem.graph
        self.forward_passes = self.propagations = 0
        self._pending: dict[int, Waiting] = {}
        whole = self.graph.edges_mask
        mask = whole if mask is None else mask.cpu()
        self.graph.check_mask(mask)
        self.mask: Bool[np.ndarray, "src dst"] = mask.numpy().copy()
        self.outgoing = self.graph.by_span(mask).sum(1).flatten().numpy()
        self.n_edges = int(self.outgoing.sum())
        self._sizes = Rows.of(problem.ablated.active, problem.batch).sizes
        self._survey()
        if torch.equal(mask, whole):
            self.cache = clean_cache(problem, room=self.memory)
            final = self.cache.final
        else:
            self.cache = ablated_cache(problem, room=self.memory)
            final = self._run()
        self.loss = self._losses_of(final[None]).item()

    @torch.no_grad()
    def _run(self) -> Float[Tensor, "batch d_model"]:
        """The circuit's masked run, taken into the activations; its last residual stream."""
        found = self._reach(np.flatnonzero(self._read.useful).tolist())
        embedded = self.cache.rows.pack(self.problem.clean.outputs.input)
        run = propagate(self.cache, Question(self.mask, found, {}, input=embedded), keep=True)
        self._count(1)
        self.cache.commit(run.updates)
        return run.final[0]

    # -- what is asked of it

    def is_useful(self, dst: int) -> bool:
        """Whether the destination's node has a kept outgoing edge; if not, its inputs can't matter (fact 3)."""
        sites = self.graph.sites_of_dst[dst]
        return not sites or any(self.outgoing[site] for site in sites)

    def losses(
        self, edges: Sequence[Edge], removed: Bool[np.ndarray, "copies edges"] | None = None
    ) -> Float64[Tensor, " copies"]:
        """The loss without some of the kept `edges`, besides those that are removed already.

        Args:
            edges: Different kept edges.
            removed: Which of them each copy is without; if None, each copy is without one of them.
        """
        removed = np.eye(len(edges), dtype=bool) if removed is None else removed
        self.prepare(edges, len(removed))
        dsts = sorted({dst for _, dst in edges} | set(self._pending))
        found = self._reach(dsts)
        if not found.logits:
            return torch.full((len(removed),), self.loss, dtype=torch.float64)
        removals = {dst: self._removal(dst, edges, removed) for dst in dsts}
        return self._losses_of(propagate(self.cache, Question(self.mask, found, removals, len(removed))).final)

    def prepare(self, edges: Sequence[Edge], copies: int) -> None:
        """Do and count what `losses` does before it answers a question about `edges`.

        It folds in removals that wait elsewhere, unless carrying them along touches little more than the question does.
        Who has the answer from a record calls this instead of `losses`, so that all later answers have the same bits.
        """
        self._count(copies)
        dsts = sorted({dst for _, dst in edges})
        if set(self._pending) <= set(dsts):
            return
        self._survey()
        self._pending = {dst: waiting for dst, waiting in self._pending.items() if self._read.useful[dst]}
        together = sorted({*dsts, *self._pending})
        waiting = sum(len(each.sources) for each in self._pending.values())
        if waiting > MOST_WAITING or self._work(together) > WORTH * self._work(dsts):
            self._fold()

    def remove(self, edges: Sequence[Edge], loss: float | None = None) -> None:
        """Commit removals. `loss` is the loss without them, as `losses` gave it; None where it can't change."""
        for src, dst in edges:
            assert self.mask[src, dst], "the edge was removed before"
            if self.is_useful(dst):
                self._pending.setdefault(dst, Waiting()).sources.append(src)
            self.mask[src, dst] = False
            self.outgoing[src * self.graph.n_spans + dst % self.graph.n_spans] -= 1
            self.n_edges -= 1
        if loss is not None:
            self.loss = loss

    def cost(self, dsts: Iterable[int]) -> Cost:
        """About what a question about edges into `dsts` takes."""
        return cost_of(self.problem, self._reach(sorted(dsts)), self.cache.rows)

    # -- how it is answered

    def _count(self, copies: int) -> None:
        self.forward_passes += copies
        self.propagations += 1

    def _survey(self) -> None:
        """Note where each destination's input matters now."""
        self._read = reading(self.graph, self.mask).within(self._sizes)
        self._reaches: dict[tuple[int, ...], Reach] = {}

    def _reach(self, dsts: Sequence[int]) -> Reach:
        key = tuple(dsts)
        if key not in self._reaches:
            self._reaches[key] = reach(self.graph, self.mask, self._read, key)
        return self._reaches[key]

    def _work(self, dsts: Sequence[int]) -> float:
        """Node-positions of a prompt that a question about edges into `dsts` computes, in the mean."""
        return self._reach(dsts).work(size / self.problem.batch.n for size in self._sizes)

    def _removal(self, dst: int, edges: Sequence[Edge], removed: Bool[np.ndarray, "copies edges"]) -> Removal:
        """Which copy removes which edges into `dst`, those that wait to be folded in included."""
        here = [i for i, edge in enumerate(edges) if edge[1] == dst]
        chosen = torch.from_numpy(removed[:, here]).to(self.cache.final.device, self.cache.final.dtype)
        return Removal(self._pending.get(dst), [edges[i][0] for i in here], chosen)

    def _fold(self) -> None:
        """Take the waiting removals into the activations."""
        nothing = self.cache.final.new_empty(1, 0)
        removals = {dst: Removal(waiting, [], nothing) for dst, waiting in self._pending.items()}
        self._pending = {}
        if removals:
            question = Question(self.mask, self._reach(sorted(removals)), removals)
            self.cache.commit(propagate(self.cache, question, keep=True).updates)
            self._count(1)

    @torch.no_grad()
    def _losses_of(self, final: Float[Tensor, "copies batch d_model"]) -> Float64[Tensor, " copies"]:
        """Losses of stacked copies, a few copies' logits at a time: those that the metric reads (fact 7)."""
        model, objective = self.problem.model, self.problem.objective
        n_tokens = len(model.components.unembed) if objective.tokens is None else len(objective.tokens)
        size = max(1, self.memory // 8 // (final.shape[1] * n_tokens * max(4, final.element_size())))
        parts = (model.unembed(part.flatten(0, 1), objective.tokens) for part in final.split(size))
        return torch.cat([objective.loss(logits).cpu() for logits in parts])
