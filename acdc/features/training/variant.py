"""What a kind of dictionary is while it is trained: how features are chosen, and what the loss adds to the error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from acdc.features.activations import Activation
from acdc.features.training.weights import Weights

__all__ = ["Variant", "squared"]

Choose = Callable[[Weights, Float[Tensor, "tokens n"], int], Float[Tensor, "tokens n"]]
Err = Callable[[Weights, Float[Tensor, "tokens n"], Tensor, Tensor, Tensor], Float[Tensor, ""]]


def squared(left: Float[Tensor, "tokens d_out"]) -> Float[Tensor, ""]:
    """Mean over the tokens of `|y - reconstruction|^2`, of what the reconstruction leaves over."""
    return left.square().sum(1).mean()


def _squared(weights: Weights, features: Tensor, x: Tensor, y: Tensor, left: Tensor) -> Float[Tensor, ""]:
    return squared(left)


def _no_penalty(weights: Weights, pre: Tensor, k: int, warmth: float) -> Tensor | None:
    return None


def _nothing(weights: Weights, features: Tensor) -> None:
    return None


@dataclass(frozen=True)
class Variant:
    """One kind.

    Attributes:
        choose: Features of the pre-activations while it is trained, given the k that is asked for.
        activation: What the trained dictionary does instead.
        error: Of the reconstruction, given the features, what is read, what is to be written, and what the
            reconstruction leaves of that; the squared error if not given.
        penalty: What the loss adds: of the pre-activations, k, and how far the penalty is warmed up, 0 to 1.
        observe: Called after each step, without gradients.
        thresholds: None, `one` for all features, learned by watching, or `each` feature's own, trained.
        threshold: The first one, where activations have a mean squared norm of 1.
        betas: Of Adam.
    """

    name: str
    summary: str
    source: str
    choose: Choose
    activation: Callable[[int, Tensor | None], Activation]
    error: Err = _squared
    penalty: Callable[[Weights, Tensor, int, float], Tensor | None] = _no_penalty
    observe: Callable[[Weights, Tensor], None] = _nothing
    thresholds: Literal["none", "one", "each"] = "none"
    threshold: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
