"""The tokens that a changed run makes more or less probable: what else an intervention does to the answers."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.metrics.answers import wide
from acdc.prompts.tokens import pieces

__all__ = ["MovedTokens", "moved_tokens"]

MOST = 3  # tokens that are named
LEAST = 0.005  # change of the mean probability, below which a token is not named
MovedTokens = tuple[tuple[str, float], ...]


def moved_tokens(
    tokenizer: Any, changed: Float[Tensor, "batch vocab"], own: Float[Tensor, "batch vocab"]
) -> MovedTokens:
    """The next tokens whose probability, meaned over prompts, changed most, with that change; the largest first.

    Args:
        changed, own: Logits of the changed run, and of the model's own.
    """
    rise = (wide(changed).softmax(-1) - wide(own).softmax(-1)).mean(0)
    most = rise.abs().topk(min(MOST, len(rise))).indices
    most = most[rise[most].abs() >= LEAST]
    return tuple(zip(pieces(tokenizer, most.tolist()), torch.atleast_1d(rise[most]).tolist(), strict=True))
