"""A model's answers to a set of prompts, and what becomes of them without some features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.evaluation.confidence import Interval, mean_interval
from acdc.features.acting.control import Firings, firings
from acdc.features.acting.firing_prompts import FiringPrompts
from acdc.features.acting.moved_tokens import MovedTokens, moved_tokens
from acdc.features.acting.pushing import Push, pushed_logits
from acdc.features.dictionary import Dictionary
from acdc.metrics import Metric, accuracy, get_metric
from acdc.models import PatchableModel

__all__ = ["Ablation", "Changed", "SetAnswers"]


@dataclass(frozen=True)
class Ablation:
    """What the answers to a set's prompts become without some features.

    Attributes:
        n, n_fires: Prompts, and on how many of them the features fire, as far as that is known; the others are run too.
        kl: Mean KL divergence of the changed next token from the model's own, in nats.
        n_changed: Prompts whose most probable next token is another one.
        metric: Mean change of the metric; None: the prompts have no answers, as the next two.
        n_right, n_wrong: Wrong answers that become right, and right ones that become wrong.
        moved: The tokens whose probability changes most, with the mean change.
    """

    n: int
    n_fires: int
    kl: Interval
    n_changed: int
    metric: Interval | None
    n_right: int | None
    n_wrong: int | None
    moved: MovedTokens


@dataclass(frozen=True, eq=False)
class Changed:
    """The same, and each prompt's change: of the metric or, where there are no answers, its KL divergence."""

    ablation: Ablation
    values: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class SetAnswers:
    """The model's own answers.

    Attributes:
        own: Logits of the next token.
        metric: How good answers are; None: the prompts have none.
    """

    prompts: FiringPrompts
    own: Float[Tensor, "prompt vocab"]
    metric: Metric | None

    @classmethod
    def of(
        cls, model: PatchableModel, dictionary: Dictionary, prompts: FiringPrompts, metric: Metric | None
    ) -> "SetAnswers":
        """Run the prompts as they are."""
        return cls(prompts, pushed_logits(model, dictionary, prompts.batch, None), metric)

    def firings(self, model: PatchableModel, dictionary: Dictionary) -> Firings:
        """How the dictionary's features fire on the prompts."""
        return firings(model, dictionary, self.prompts.batch)

    def without(
        self,
        model: PatchableModel,
        dictionary: Dictionary,
        features: Sequence[int],
        fires: Bool[np.ndarray, " prompt"] | None,
    ) -> Changed:
        """The answers with features set to 0.

        Args:
            fires: The prompts on which any of them fires, if that is known: the others' answers stay what they are.
        """
        batch, logits = self.prompts.batch, self.own.clone()
        rows = torch.arange(batch.n) if fires is None else torch.from_numpy(np.flatnonzero(fires))
        if len(rows):
            pushes = [Push.ablate(feature) for feature in features]
            logits[rows.to(logits.device)] = pushed_logits(model, dictionary, batch.select(rows), pushes)
        kl = get_metric("kl").function(logits, batch.correct, batch.wrong, self.own).double().cpu().numpy()
        better = None if self.metric is None else self._better(logits) - self._better(self.own)
        right = [(accuracy(each.cpu(), batch.correct, batch.wrong)) for each in (logits, self.own)]
        ablation = Ablation(
            batch.n,
            len(rows),
            mean_interval(kl),
            int((logits.argmax(-1) != self.own.argmax(-1)).sum()),
            None if better is None else mean_interval(better),
            None if better is None else int((right[0] & ~right[1]).sum()),
            None if better is None else int((right[1] & ~right[0]).sum()),
            moved_tokens(model.tokenizer, logits, self.own),
        )
        return Changed(ablation, kl if better is None else better)

    def _better(self, logits: Float[Tensor, "prompt vocab"]) -> Float[np.ndarray, " prompt"]:
        assert self.metric is not None, "asked only where there are answers"
        batch = self.prompts.batch
        there, own = logits.double().cpu(), self.own.double().cpu()
        found: Float[np.ndarray, " prompt"] = self.metric.function(there, batch.correct, batch.wrong, own).numpy()
        return found
