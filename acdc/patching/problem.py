"""One discovery problem: a model, a batch, a metric and an ablation, with the clean and ablated runs made once."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.errors import ModelError
from acdc.metrics import Metric, Objective, get_metric
from acdc.models import PatchableModel
from acdc.options.defaults import ABLATION, MASKED_MEMORY, MEMORY, SEED
from acdc.patching.ablation import Ablated
from acdc.patching.ablations import ablate
from acdc.patching.activations import ActivationCache, NodeOutputs, run
from acdc.patching.footprint import check_footprint
from acdc.patching.masked import MaskedForward
from acdc.patching.spans import split_graph
from acdc.prompts.batch import PromptBatch
from acdc.ranks import ALONE, Ranks

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """What every discovery method is given.

    Attributes:
        clean: The unpatched model's activations on the clean prompts.
        ablated: What removed edges carry.
        objective: The metric on this batch, read against the clean logits.
        seed: Seed of whatever a method draws.
        memory: About how many bytes a step may take; what each engine takes by default if None.
        ranks: The processes that share the work on its prompts.
    """

    model: PatchableModel
    batch: PromptBatch
    clean: ActivationCache
    ablated: Ablated
    objective: Objective
    seed: int = SEED
    memory: int | None = None
    ranks: Ranks = ALONE

    @classmethod
    def make(
        cls,
        model: PatchableModel,
        batch: PromptBatch,
        *,
        metric: str | Metric = "kl",
        ablation: str = ABLATION,
        seed: int = SEED,
        memory: int | None = None,
        ranks: Ranks = ALONE,
        learned: NodeOutputs | None = None,
    ) -> "Problem":
        """Check the batch and make the runs.

        Args:
            learned: Constants of an ablation that learns them, like `optimal`; they are learned on this batch if None.

        Raises:
            TaskError: A prompt doesn't fit the model, or the batch doesn't allow this metric or ablation.
            ModelError: The clean logits aren't finite, or the activations don't fit into memory.
            UnknownNameError: No such metric or ablation.
        """
        chosen = get_metric(metric)
        model.check_batch(batch)
        check_footprint(model, batch, memory=memory)
        batch = batch.to(model.device)
        clean = run(model, batch, batch.clean)
        if not bool(torch.isfinite(clean.logits).all()):
            dtype = str(model.dtype).removeprefix("torch.")
            raise ModelError(
                f"{model.name!r} gives logits that are NaN or infinite on task {batch.task!r} in {dtype}; "
                "its weights are damaged, or it needs a wider dtype (float32)"
            )
        objective = Objective(chosen, batch, clean.logits)
        ablated = ablate(ablation, model, batch, clean.outputs, seed=seed, learned=learned, memory=memory)
        return cls(model, batch, clean, ablated, objective, seed, memory, ranks)

    @cached_property
    def graph(self) -> Graph:
        """The model's graph, its edges split by the batch's spans: what masks are of."""
        return split_graph(self.model.graph, self.batch)

    def prune(self, mask: Bool[Tensor, "src dst"]) -> Bool[Tensor, "src dst"]:
        """The mask without edges that change nothing of what the circuit computes.

        Always those that don't reach the logits; where ablated outputs are one run's, those without a path from the
        input too. Where they aren't (constants), a node without live inputs still carries a signal, and stays.
        """
        return self.graph.prune(mask, from_input=self.ablated.coherent)

    @property
    def step_memory(self) -> int:
        """About how many bytes a propagation may take."""
        return self.memory or MEMORY

    @cached_property
    def masked(self) -> MaskedForward:
        """Circuits' forward passes, with what they share made once."""
        memory = self.memory or MASKED_MEMORY
        return MaskedForward(self.model, self.batch, self.ablated, memory=memory, ranks=self.ranks)

    def logits(self, mask: Bool[Tensor, "src dst"]) -> Float[Tensor, "batch vocab"]:
        """The circuit's logits at the last position."""
        return self.masked.logits(mask)

    def loss(self, logits: Float[Tensor, "batch vocab"]) -> float:
        """The mean loss of a batch whose last positions have these logits, in the metric's unit; lower is better."""
        tokens = self.objective.tokens
        return float(self.objective.loss(logits if tokens is None else logits[:, tokens]))

    @cached_property
    def model_loss(self) -> float:
        """The loss of the whole model."""
        return self.loss(self.clean.logits)

    @cached_property
    def empty_loss(self) -> float:
        """The loss with every edge removed."""
        return self.loss(self.logits(self.graph.edges_mask & False))
