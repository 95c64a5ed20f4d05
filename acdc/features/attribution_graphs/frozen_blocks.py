"""Blocks whose attention patterns are constants on the way back, so that heads are linear in what they read."""

from dataclasses import replace

from torch import Tensor

from acdc.models.components import Attention

__all__ = ["with_frozen_pattern"]


def with_frozen_pattern(attention: Attention) -> Attention:
    """The attention with no derivative in its queries and keys."""
    return replace(attention, softmax=_constant_softmax)


def _constant_softmax(scores: Tensor) -> Tensor:
    return scores.softmax(-1).detach()
