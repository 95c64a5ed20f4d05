"""TopK: each token has its k strongest features.

Reference: Gao et al. 2024 (arXiv 2406.04093), section 2.3.
"""

from jaxtyping import Float
from torch import Tensor

from acdc.features.activations import TopK
from acdc.features.training.variant import Variant
from acdc.features.training.weights import Weights

__all__ = ["VARIANT"]


def choose(weights: Weights, pre: Float[Tensor, "tokens n"], k: int) -> Float[Tensor, "tokens n"]:
    """The k largest of each token, where they are above zero."""
    return TopK(k)(pre)


VARIANT = Variant(
    "topk",
    "each token has its k strongest features",
    "Gao et al. 2024",
    choose,
    activation=lambda k, threshold: TopK(k),
)
