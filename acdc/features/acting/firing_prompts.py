"""A set of prompts, and how some features fire on them, token by token."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from acdc.features.dictionary import Dictionary
from acdc.features.reading import Window
from acdc.features.reading.tally import features_of
from acdc.features.site_values import behind_first
from acdc.models import PatchableModel
from acdc.progress.progress import Tell
from acdc.prompts.batch import PromptBatch
from acdc.prompts.tokens import pieces

__all__ = ["FiringPrompts"]

N_PEAKS = 3  # tokens that are named


@dataclass(frozen=True, eq=False)
class FiringPrompts:
    """Prompts and their features.

    Attributes:
        activations: Of each feature at each token; columns are those of the batch.
        where: Where features are looked at: at all tokens behind the first (`max`), or at the last one (`last`).
        names: How tokens read, by their numbers.
    """

    batch: PromptBatch
    activations: Float[np.ndarray, "prompt pos k"]
    where: str
    names: dict[int, str]

    @classmethod
    def of(
        cls,
        model: PatchableModel,
        dictionary: Dictionary,
        batch: PromptBatch,
        features: Int[np.ndarray, " k"],
        where: str,
        *,
        tell: Tell | None = None,
        stage: str = "",
    ) -> "FiringPrompts":
        """Run the clean prompts up to where the dictionary reads."""
        wanted = torch.as_tensor(features, dtype=torch.long, device=model.device)
        batch = batch.to("cpu")
        some = [found[..., wanted].cpu() for _, found in features_of(model, dictionary, batch, tell=tell, stage=stage)]
        ids = batch.clean[batch.attention].unique().tolist()
        names = dict(zip(ids, pieces(model.tokenizer, ids), strict=True))
        return cls(batch, torch.cat(some).float().numpy(), where, names)

    def few(self, n: int) -> "FiringPrompts":
        """The first n prompts; columns that are padding in all of them are left out."""
        if n >= self.batch.n:
            return self
        batch = self.batch.select(range(n))
        return replace(self, batch=batch, activations=self.activations[:n, -batch.n_pos :])

    @property
    def counted(self) -> Bool[np.ndarray, "prompt pos"]:
        """The tokens at which features are looked at."""
        last = torch.arange(self.batch.n_pos) == self.batch.n_pos - 1
        seen = self.batch.attention & last if self.where == "last" else behind_first(self.batch)
        found: Bool[np.ndarray, "prompt pos"] = seen.numpy()
        return found

    @property
    def fires(self) -> Bool[np.ndarray, "prompt k"]:
        """Whether each feature fires anywhere in a prompt, its first token included."""
        found: Bool[np.ndarray, "prompt k"] = ((self.activations > 0) & self.batch.attention.numpy()[..., None]).any(1)
        return found

    @property
    def values(self) -> Float[np.ndarray, "prompt k"]:
        """One number of each prompt and feature: its largest activation where it is looked at."""
        found: Float[np.ndarray, "prompt k"] = (self.activations * self.counted[..., None]).max(1)
        return found

    def peaks(self, i: int) -> tuple[tuple[str, float], ...]:
        """The tokens on which feature i is largest in the prompts on which it fires, with their shares of these."""
        seen = self.activations[..., i] * self.counted
        rows = np.flatnonzero(seen.max(1) > 0)
        ids = self.batch.clean.numpy()[rows, seen[rows].argmax(1)]
        return tuple((self.names[token], n / len(rows)) for token, n in Counter(ids.tolist()).most_common(N_PEAKS))

    def examples(self, i: int, n: int) -> tuple[Window, ...]:
        """The prompts in which feature i is largest, those in which it fires."""
        largest = self.values[:, i]
        rows = np.argsort(-largest, kind="stable")[:n].tolist()
        return tuple(self._window(row, i) for row in rows if largest[row] > 0)

    def _window(self, row: int, i: int) -> Window:
        """A prompt, with the feature's activations behind its first token."""
        there, seen = self.batch.attention[row].numpy(), (self.batch.position_ids[row] > 0).numpy()
        ids = tuple(self.batch.clean[row].numpy()[there].tolist())
        counted, activations = (x[there].tolist() for x in (self.counted[row], self.activations[row, :, i] * seen))
        return Window(tuple(self.names[token] for token in ids), ids, tuple(counted), tuple(activations))
