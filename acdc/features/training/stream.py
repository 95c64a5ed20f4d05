"""Activations for training, streamed from a model in a shuffled order that the seed alone decides.

An epoch takes all texts in a random order, in fills of about as many tokens as the buffer holds; a fill's tokens are
shuffled and cut into batches, and what is left over at its end is left out. So a training that goes on at some step
needs only that step's fill to see the same batches as one that was never stopped. Where the buffer holds the whole
text, the model runs once: a fill that is the same as the last one isn't made again.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import TaskError
from acdc.features.site_values import behind_first, site_values
from acdc.features.sites import Site, width_of
from acdc.models import PatchableModel
from acdc.progress.progress import Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["Stream", "Values"]

Values = dict[Site, Float[Tensor, "_ _"]]  # tokens, each as wide as its site
LEAST_BATCHES = 4  # of a fill


@dataclass(frozen=True)
class _Fill:
    """Some texts, and the order in which their tokens come."""

    rows: list[int]
    order: Int[Tensor, " tokens"]


class Stream:
    """Batches of what sites hold, by the site, without end.

    Args:
        sites: What is read and what is written.
        batch: Tokens of a batch.
        buffer: Tokens that are shuffled together.

    Raises:
        TaskError: The texts have fewer tokens than a batch.
    """

    def __init__(
        self,
        model: PatchableModel,
        texts: PromptBatch,
        sites: tuple[Site, ...],
        *,
        batch: int,
        buffer: int,
        seed: int,
        progress: Tell | None = None,
    ) -> None:
        self.model, self.texts, self.sites, self.batch, self.seed = model, texts, sites, batch, seed
        self.counts = behind_first(texts).sum(1)
        self.n_tokens = int(self.counts.sum())
        if self.n_tokens < batch:
            raise TaskError(
                f"the text has {self.n_tokens} tokens to train on, fewer than a batch of {batch}; give more text, or "
                "smaller batches"
            )
        self.n_fills = -(-self.n_tokens // max(buffer, LEAST_BATCHES * batch))
        self.seconds = 0.0  # that the last fill took
        self._last: tuple[list[int], Values] = ([], {})
        self._progress = progress

    def first(self) -> Values:
        """The first fill, in the order in which it is trained on."""
        fill = next(self._fills(0))
        values = self._values(fill)
        self._progress = None  # from here on the steps say how far it is
        return _rows(values, fill.order)

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return torch.promote_types(self.model.dtype, torch.float32).itemsize

    @property
    def size(self) -> int:
        """Bytes of a fill."""
        widths = sum(width_of(self.model, site) for site in self.sites)
        return self.itemsize * widths * self.n_tokens // self.n_fills

    def few(self) -> Values:
        """One text's, where only their shapes are asked for."""
        values = site_values(self.model, self.texts.select([int(self.counts.argmax())]), self.sites)
        return dict(zip(self.sites, values, strict=True))

    def fills_of(self, n_batches: int) -> int:
        """About how many further fills so many batches need."""
        return 0 if self.n_fills == 1 else n_batches * self.batch * self.n_fills // self.n_tokens

    def batches(self, start: int = 0) -> Iterator[Values]:
        """All batches from one on."""
        passed, epoch = 0, 0
        while True:
            for fill in self._fills(epoch):
                n = len(fill.order) // self.batch
                if passed + n > start:
                    values = self._values(fill)
                    for i in range(max(0, start - passed), n):
                        yield _rows(values, fill.order[i * self.batch : (i + 1) * self.batch])
                passed += n
            epoch += 1

    def _fills(self, epoch: int) -> Iterator[_Fill]:
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        for part in torch.randperm(self.texts.n, generator=draw).tensor_split(self.n_fills):
            rows = part.sort().values
            n = int(self.counts[rows].sum())
            yield _Fill(rows.tolist(), torch.randperm(n, generator=draw))

    def _values(self, fill: _Fill) -> Values:
        """What the sites hold on a fill's texts, text by text."""
        if self._last[0] != fill.rows:
            began = time.monotonic()
            self._last = ([], {})  # its memory is wanted
            values = site_values(self.model, self.texts.select(fill.rows), self.sites, progress=self._progress)
            self._last = (fill.rows, dict(zip(self.sites, values, strict=True)))
            self.seconds = time.monotonic() - began
        return self._last[1]


def _rows(values: Values, rows: Int[Tensor, " n"]) -> Values:
    return {site: value[rows.to(value.device)] for site, value in values.items()}
