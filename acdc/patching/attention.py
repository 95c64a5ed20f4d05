"""Attention, the one part of a model that is ours: each head's q, k and v come from inputs of their own."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.models.parts import Parts
from acdc.prompts import PromptBatch

__all__ = ["Layout", "attend", "project", "rotate"]


@dataclass(frozen=True)
class Layout:
    """Where a batch's tokens stand: who may see whom, and the rotary tables.

    Attributes:
        batch: The prompts.
        parts: The model, for its rotary tables.
        dtype: Type of the activations.
    """

    batch: PromptBatch
    parts: Parts
    dtype: torch.dtype
    _biases: dict[int | None, Tensor] = field(default_factory=dict)

    def rotary(self) -> tuple[Float[Tensor, "batch pos d_rotary"], Float[Tensor, "batch pos d_rotary"]] | None:
        """The tables (cos, sin) of the batch's positions; None without rotary embeddings."""
        if self.parts.rotary is None:
            return None
        like = torch.empty(1, dtype=self.dtype, device=self.batch.clean.device)
        cos, sin = self.parts.rotary(like, self.batch.position_ids)
        return cos, sin

    def bias(self, window: int | None) -> Float[Tensor, "batch query key"]:
        """What is added to attention scores: 0 where the query sees the key, else the lowest finite number.

        Finite, so that the rows of padding, which see nothing, hold no NaN. Position ids, not columns, are compared, so
        padding does not shift a sliding window.
        """
        if window not in self._biases:
            column = torch.arange(self.batch.n_pos, device=self.batch.clean.device)
            seen = (column[:, None] >= column[None, :]) & self.batch.attention[:, None, :]
            if window is not None:
                position = self.batch.position_ids
                seen &= position[:, :, None] - position[:, None, :] < window
            zero = torch.zeros(seen.shape, dtype=self.dtype, device=seen.device)
            self._biases[window] = zero.masked_fill(~seen, torch.finfo(self.dtype).min)
        return self._biases[window]


def project(
    x: Float[Tensor, "n rows d_model"],
    weight: Float[Tensor, "n d_model d_head"],
    bias: Float[Tensor, "n d_head"] | None,
) -> Float[Tensor, "n rows d_head"]:
    """`x W + b` for n heads, each with its own x."""
    if bias is None:
        return torch.bmm(x, weight)
    return torch.baddbmm(bias[:, None, :], x, weight)


def rotate(x: Float[Tensor, "*n batch pos d_head"], cos: Tensor, sin: Tensor) -> Float[Tensor, "*n batch pos d_head"]:
    """Rotary embedding of the first `d_rotary` dimensions (Su et al. 2021), the two halves of each paired."""
    d_rotary = cos.shape[-1]
    turned, rest = x[..., :d_rotary], x[..., d_rotary:]
    first, second = turned.chunk(2, -1)
    turned = turned * cos + torch.cat([-second, first], -1) * sin
    return turned if rest.shape[-1] == 0 else torch.cat([turned, rest], -1)


def attend(
    q: Float[Tensor, "n #copies batch query d_head"],
    k: Float[Tensor, "n #copies batch key d_head"],
    v: Float[Tensor, "n #copies batch key d_head"],
    bias: Float[Tensor, "batch query key"],
    scale: float,
) -> Float[Tensor, "n copies_of_any batch query d_head"]:
    """`softmax(scale q kᵀ + bias) v`, the softmax in float32 at least, as the models themselves do."""
    scores = torch.matmul(q, k.transpose(-1, -2)).mul_(scale).add_(bias)
    precise = scores if scores.dtype == torch.float64 else scores.float()
    return torch.matmul(precise.softmax(-1).to(v.dtype), v)
