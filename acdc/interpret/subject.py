"""What the sections of one explanation work on, and share: whatever several need is made once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.circuits.names import base_of
from acdc.circuits.ranking import strongest_nodes
from acdc.evaluation.held_out import prompts_text
from acdc.evaluation.whole_answers import sums
from acdc.interpret.node_effects import node_effects
from acdc.options.defaults import N_EXPLAINED, N_PROBED, N_SHOWN, SEED
from acdc.options.ranges import Range, Seed
from acdc.patching.problem import Problem
from acdc.progress import Tell
from acdc.prompts.batch import MAX_PAIRS, PromptBatch
from acdc.prompts.positions import split_by

__all__ = ["ExplainSettings", "Subject"]


@dataclass(frozen=True)
class ExplainSettings:
    """What an explanation is told; the same settings of the same circuit give the same numbers.

    Attributes:
        nodes: How many nodes get the costly parts of a card: those with the largest scores.
        examples: How many prompts are shown with their patterns and predictions.
        label: What probes look for: a name in `acdc.interpret.labels.LABELS`; the first that fits if None.
        n_probed: Prompts that probes are fitted on, and half as many that they are tried on.
        seed: Of the held-out prompts and of all that is drawn.
    """

    nodes: Annotated[int, Range(1, 100_000)] = N_EXPLAINED
    examples: Annotated[int, Range(1, 100)] = N_SHOWN
    label: str | None = None
    n_probed: Annotated[int, Range(8, MAX_PAIRS)] = N_PROBED
    seed: Seed = SEED


@dataclass(eq=False)
class Subject:
    """One explanation's circuit, model and prompts.

    Attributes:
        problem: Held-out prompts, in the run's metric and ablation: what is claimed is tested on them.
        discovery: The prompts that the circuit was found on: what is chosen is chosen on them.
        n_seen: How many of the held-out prompts the search saw; None where that isn't known.
        draw: `(n, seed, held_out)` to other prompts of the task.
        notes: What a reader must know of model and prompts.
        step: Tells how far the section is that is being measured: (done, total).
        tell: The same for parts that tell it in their own words.
    """

    circuit: Circuit
    problem: Problem
    discovery: Problem
    n_seen: int | None
    settings: ExplainSettings
    draw: Callable[[int, int, bool], PromptBatch]
    notes: tuple[str, ...] = ()
    step: Callable[[int, int], None] = lambda done, total: None
    tell: Tell | None = None

    @cached_property
    def nodes(self) -> list[str]:
        """Heads and MLPs of the circuit, without spans: those whose outgoing edges have the largest scores first."""
        graph = self.circuit.graph
        inner = [base_of(name) for name in self.circuit.nodes]
        inner = [name for name in dict.fromkeys(inner) if name not in ("input", "logits")]
        mask, scores = self.circuit.mask, self.circuit.scores
        weights = mask.double() if scores is None or not scores[mask].nan_to_num().any() else scores
        first = [name for name in strongest_nodes(graph, mask, weights, graph.n_src) if name in inner]
        return [*first, *(name for name in inner if name not in first)]

    @cached_property
    def whole(self) -> Problem:
        """The same prompts with whole edges: what nodes do in the model, however the circuit's edges are split."""
        return replace(self.problem, batch=split_by(self.problem.batch, "all"))

    @property
    def important(self) -> list[str]:
        """The nodes that get the costly parts of a card."""
        return self.nodes[: self.settings.nodes]

    @property
    def heads(self) -> list[str]:
        """The heads among the important nodes."""
        return [name for name in self.important if name.startswith("a")]

    @cached_property
    def logits(self) -> dict[str, Float[Tensor, "batch vocab"]]:
        """Of `model`, `circuit` and `corrupted` (every edge removed) on the held-out prompts."""
        problem, mask = self.problem, self.circuit.mask
        circuit, corrupted = (problem.logits(each) for each in (mask, torch.zeros_like(mask)))
        return {"model": problem.clean.logits, "circuit": circuit, "corrupted": corrupted}

    @property
    def of_whole_answers(self) -> bool:
        """Whether answers have several tokens, each asked for in a row of its own."""
        return self.problem.batch.pair_ids is not None

    @cached_property
    def effects(self) -> dict[str, Float64[Tensor, " pair"]]:
        """Of each important node: by how much each held-out pair's loss rises when its output alone is ablated."""
        return self.effects_of(self.important)

    def effects_of(self, nodes: Sequence[str]) -> dict[str, Float64[Tensor, " pair"]]:
        """The same of these nodes, perhaps at spans; a whole answer's is that of its rows together."""
        found, batch = node_effects(self.problem, nodes, step=self.step), self.problem.batch
        if batch.pair_ids is None:
            return found
        return {name: sums(rows, batch.pair_ids) / batch.rows_per_pair for name, rows in found.items()}

    @property
    def prompts(self) -> str:
        """The held-out prompts in words."""
        return prompts_text(self.problem.batch.n_pairs, self.n_seen)
