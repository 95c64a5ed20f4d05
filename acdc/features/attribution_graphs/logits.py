"""Which logits an attribution graph explains."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.metrics.answers import wide
from acdc.models import PatchableModel

__all__ = ["LOGITS", "PROBABILITY", "Logits", "likely_logits"]

LOGITS, PROBABILITY = 10, 0.95


class Logits(NamedTuple):
    """The most probable tokens.

    Attributes:
        vectors: What reads each logit from the normed last residual stream, the vocabulary's mean taken away.
        biases: What the unembedding's bias adds to each, the mean taken away.
    """

    tokens: Int[Tensor, " n"]
    probabilities: Float[Tensor, " n"]
    vectors: Float[Tensor, "n d_model"]
    biases: Float[Tensor, " n"]


@torch.no_grad()
def likely_logits(
    model: PatchableModel, final: Float[Tensor, "1 d_model"], *, most: int = LOGITS, probability: float = PROBABILITY
) -> Logits:
    """The most probable next tokens until they have so much probability together, and at most so many.

    A logit counts without what all tokens' logits share, and before a soft cap.

    Args:
        final: The last position's residual stream.
    """
    parts = model.components
    probabilities, order = wide(model.unembed(final)[0]).softmax(-1).sort(descending=True)
    n = min(most, 1 + int((probabilities.cumsum(0) < probability).sum()))
    tokens, weight = order[:n], parts.unembed
    vectors = wide(weight[tokens]) - wide(weight).mean(0)
    biases = vectors.new_zeros(n)
    if parts.unembed_bias is not None:
        biases = wide(parts.unembed_bias[tokens]) - wide(parts.unembed_bias).mean()
    divisor = parts.logit_divisor
    return Logits(tokens, probabilities[:n], vectors / divisor, biases / divisor)
