"""Features whose activations differ between two sets of prompts, chosen on some prompts and tested on others.

Chosen: by how far a feature's two means lie apart in units of its spread. Tested: by a permutation test of the means,
in the direction in which they were chosen, adjusted for the number of features that are tested. It is right for
features that seldom fire, and the probability that it claims anything of two sets that are alike is at most 5%.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from acdc.evaluation.confidence import Interval, mean_difference, share_difference
from acdc.evaluation.permutation import larger_means
from acdc.options.defaults import ALPHA, LEVEL, SEED

__all__ = ["ContrastRow", "Side", "chosen_features", "held_out_rows"]

FEWEST_CHOSEN = 3  # prompts on which a feature must fire to be chosen
FEWEST_FIRINGS = 10  # prompts of one set on which a feature must fire for its means' difference to have an interval


@dataclass(frozen=True)
class Side:
    """How a feature fires on the held-out prompts of one set: on which share of them, and its mean over all of them."""

    fires: float
    mean: float


@dataclass(frozen=True)
class ContrastRow:
    """A feature that was chosen, and its held-out test.

    Attributes:
        chosen: Difference of the means on the prompts that it was chosen on, first minus second.
        fires: Difference of the shares of prompts on which it fires, first minus second, with Newcombe's 95% interval.
        difference: Of the means, with Welch's 95% interval; without one where it fires on fewer than 10 prompts of
            either set.
        p: That a difference so large in the direction in which it was chosen is chance, adjusted for all features that
            are tested.
        holds: Whether `p` is at most .05.
    """

    feature: int
    chosen: float
    first: Side
    second: Side
    fires: Interval
    difference: Interval
    p: float
    holds: bool

    @property
    def in_first(self) -> bool:
        """Whether it was chosen as a feature that fires more in the first set."""
        return self.chosen > 0

    def cells(self) -> dict[str, float | int | bool | None]:
        """As a row of a table."""
        return {
            "feature": self.feature,
            "first_fires": self.first.fires,
            "second_fires": self.second.fires,
            "fires_difference": self.fires.value,
            "fires_low": self.fires.low,
            "fires_high": self.fires.high,
            "first_mean": self.first.mean,
            "second_mean": self.second.mean,
            "difference": self.difference.value,
            "low": self.difference.low,
            "high": self.difference.high,
            "p": self.p,
            "holds": self.holds,
        }


def chosen_features(
    first: Float[np.ndarray, "first n"], second: Float[np.ndarray, "second n"], top: int
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """The features whose means lie farthest apart, beside their spread over both sets, and their means' differences.

    Args:
        first, second: Each prompt's activation of each feature.
        top: At most so many are chosen; those that don't differ are not, nor those that fire on fewer than 3 prompts:
            what they differ by is chance.
    """
    both = np.concatenate([first, second])
    apart = (first.mean(0) - second.mean(0)).astype(np.float64)
    spread, often = both.std(0), (both > 0).sum(0) >= FEWEST_CHOSEN
    size = np.abs(apart) * often / np.where(spread > 0, spread, np.inf)
    ranked = np.lexsort((-np.abs(apart), -size))[:top]
    ranked = ranked[size[ranked] > 0]
    return ranked, apart[ranked]


def held_out_rows(
    features: Int[np.ndarray, " k"],
    chosen: Float[np.ndarray, " k"],
    first: Float[np.ndarray, "first k"],
    second: Float[np.ndarray, "second k"],
    *,
    seed: int = SEED,
) -> tuple[ContrastRow, ...]:
    """The chosen features' tests on other prompts.

    Args:
        chosen: Differences of the means on the prompts that they were chosen on; the test is in these directions.
        first, second: Each held-out prompt's activation of each chosen feature.
        seed: Of the permutations.
    """
    signs = np.sign(chosen)
    p = larger_means(first * signs, second * signs, seed=seed)
    return tuple(
        _row(
            int(feature), float(chosen[i]), first[:, i].astype(np.float64), second[:, i].astype(np.float64), float(p[i])
        )
        for i, feature in enumerate(features)
    )


def _row(feature: int, chosen: float, a: Float[np.ndarray, " a"], b: Float[np.ndarray, " b"], p: float) -> ContrastRow:
    fires = [(values > 0).astype(np.float64) for values in (a, b)]
    sides = [Side(float(yes.mean()), float(values.mean())) for yes, values in zip(fires, (a, b), strict=True)]
    difference = mean_difference(a, b)
    if max(yes.sum() for yes in fires) < FEWEST_FIRINGS:
        difference = Interval(difference.value, None, None, LEVEL, len(a) + len(b), "undefined")
    return ContrastRow(
        feature, chosen, sides[0], sides[1], share_difference(fires[0], fires[1]), difference, p, p <= ALPHA
    )
