"""Where a batch's tokens stand: who may see whom, and at which position."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.models.components import Attention, Rotary, index_of
from acdc.prompts.batch import PromptBatch

__all__ = ["Layout", "Tables"]

Tables = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Layout:
    """The attention masks and rotary tables of a batch, each made once.

    Attributes:
        batch: The prompts.
        dtype: Type of the activations.
    """

    batch: PromptBatch
    dtype: torch.dtype
    _masks: dict[int | None, Tensor] = field(default_factory=dict)
    _alibis: dict[Callable[..., Tensor], Tensor] = field(default_factory=dict)
    _tables: dict[Rotary, Tables] = field(default_factory=dict)

    def rotary(self, attention: Attention) -> Tables | None:
        """A layer's tables (cos, sin) at the batch's positions, `[batch pos d_rotary]`; None if it rotates nothing."""
        if (rotary := attention.rotary) is None:
            return None
        if rotary not in self._tables:
            like = torch.empty(1, dtype=self.dtype, device=self.batch.clean.device)
            cos, sin = rotary(like, self.batch.position_ids)
            self._tables[rotary] = cos, sin
        return self._tables[rotary]

    def bias(self, window: int | None) -> Float[Tensor, "batch query key"]:
        """What is added to attention scores: 0 where the query sees the key, else the lowest finite number.

        Finite, so that the rows of padding, which see nothing, hold no NaN. Position ids, not columns, are compared, so
        padding does not shift a sliding window.
        """
        if window not in self._masks:
            column = torch.arange(self.batch.n_pos, device=self.batch.clean.device)
            seen = (column[:, None] >= column[None, :]) & self.batch.attention[:, None, :]
            if window is not None:
                position = self.batch.position_ids
                seen &= position[:, :, None] - position[:, None, :] < window
            zero = torch.zeros(seen.shape, dtype=self.dtype, device=seen.device)
            self._masks[window] = zero.masked_fill(~seen, torch.finfo(self.dtype).min)
        return self._masks[window]

    def bias_of(
        self, attention: Attention, heads: Sequence[int] | None = None
    ) -> Float[Tensor, "*n_1 batch query key"]:
        """What is added to the scores of these heads (default: all): the mask, and with ALiBi each head's own bias."""
        mask = self.bias(attention.window)
        if attention.alibi is None:
            return mask
        if attention.alibi not in self._alibis:
            alibi = attention.alibi(self.batch.attention.long(), self.dtype)
            self._alibis[attention.alibi] = alibi.transpose(0, 1)[:, None]  # [n_heads 1 batch 1 key]
        alibi = self._alibis[attention.alibi]
        return torch.where(mask < 0, mask, alibi if heads is None else alibi[index_of(heads)])
