"""What the metrics say of patched cells: one value for each cell and prompt, many cells at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from acdc.metrics import Metric, Objective, get_metric
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch

__all__ = ["Measures", "as_metrics", "several"]


def several(names: str | Iterable[str]) -> tuple[str, ...]:
    """One or several names, each once."""
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def as_metrics(metrics: str | Metric | Sequence[str | Metric]) -> tuple[Metric, ...]:
    """One or several metrics.

    Raises:
        UnknownNameError: There is no such metric.
    """
    given = [metrics] if isinstance(metrics, str | Metric) else metrics
    return tuple(dict.fromkeys(get_metric(each) for each in given))


@dataclass(frozen=True)
class Measures:
    """Metrics on a batch.

    Attributes:
        objectives: The metrics, bound to the batch and to the clean logits.
        n: Number of prompts.
        memory: About how many bytes of logits are held at once.
    """

    model: PatchableModel
    objectives: tuple[Objective, ...]
    n: int
    memory: int

    @classmethod
    def of(
        cls,
        model: PatchableModel,
        batch: PromptBatch,
        metrics: tuple[Metric, ...],
        clean_logits: Float[Tensor, "batch vocab"],
        memory: int,
    ) -> "Measures":
        """Bind the metrics.

        Raises:
            TaskError: A metric needs wrong answers, and a pair has none.
        """
        return cls(model, tuple(Objective(metric, batch, clean_logits) for metric in metrics), batch.n, memory)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is measured."""
        return tuple(objective.metric for objective in self.objectives)

    @torch.no_grad()
    def of_finals(self, finals: Float[Tensor, "n batch d_model"]) -> Float64[np.ndarray, "metric n batch"]:
        """Each metric of each prompt, from last residual streams at the targets: those logits alone are computed that
        the metrics read."""
        tokens = self._tokens()
        n_tokens = len(self.model.components.unembed) if tokens is None else len(tokens)
        step = max(1, self.memory // 4 // (finals.shape[1] * n_tokens * max(4, finals.element_size())))
        parts = [self.of_logits(self.model.unembed(part.flatten(0, 1), tokens)) for part in finals.split(step)]
        return np.concatenate(parts, 1)

    def of_logits(self, logits: Float[Tensor, "rows tokens"]) -> Float64[np.ndarray, "metric n batch"]:
        """The same from logits: of the whole vocabulary, or of the metrics' tokens where no metric reads others."""
        whole = logits.shape[1] == len(self.model.components.unembed)
        values = [
            each.values(logits if each.tokens is None or not whole else logits[:, each.tokens])
            for each in self.objectives
        ]
        return np.stack([value.double().view(-1, self.n).cpu().numpy() for value in values])

    def _tokens(self) -> Tensor | None:
        """The tokens that all metrics read; None: all of the vocabulary."""
        tokens = self.objectives[0].tokens
        return tokens if tokens is not None and all(each.tokens is not None for each in self.objectives) else None
