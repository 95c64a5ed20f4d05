"""What became of a prediction: a mean over prompts, its interval, and whether all of it lies where it was predicted."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from acdc.interpret.explanation import Estimate
from acdc.interpret.intervals import mean_intervals

__all__ = ["Tested", "estimate", "falls"]


@dataclass(frozen=True)
class Tested:
    """What became of a prediction.

    Attributes:
        test: What was done to the model, in a sentence.
        predicted: What the role predicts of it, in words.
        measured: What came out, a mean over prompts with its 95% interval.
        holds: Whether the whole interval lies where the role says; None where no interval could be had.
    """

    test: str
    predicted: str
    measured: Estimate
    holds: bool | None


def estimate(values: Float[Tensor, " n"]) -> Estimate:
    """The mean of prompts' values, with the ends of its 95% interval where it has one."""
    means = mean_intervals(np.atleast_2d(values.double().cpu().numpy()))
    low, high = (float(end[0]) if math.isfinite(end[0]) else None for end in (means.low, means.high))
    return Estimate(value=float(means.mean[0]), low=low, high=high)


def falls(test: str, predicted: str, drops: Float[Tensor, " n"]) -> Tested:
    """The prediction that something falls, by how much it fell on each prompt."""
    measured = estimate(drops)
    return Tested(test, predicted, measured, None if measured.low is None else measured.low > 0)
