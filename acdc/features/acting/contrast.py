"""Features that tell two sets of prompts apart: right answers from wrong ones, a trigger from none, refusals from help.

They are chosen on one half of each set, by how far the two means of a feature lie apart in units of its spread, and
tested on the other half: the difference of the means with its interval, widened for the number of features that are
tested (Bonferroni), so that all hold together with 95%.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from acdc.errors import TaskError
from acdc.features.dictionary import Dictionary
from acdc.features.reading.tally import features_of
from acdc.models import PatchableModel
from acdc.options.defaults import ALPHA, SEED, TOP_CONTRASTED
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Contrast", "ContrastRow", "contrast"]

FEWEST = 10  # prompts of a set: half of them are tested


@dataclass(frozen=True)
class ContrastRow:
    """A feature that was chosen, and its held-out test.

    Attributes:
        chosen: Difference of the means on the prompts that it was chosen on.
        first, second: Its means on the held-out prompts of the two sets.
        difference: Of these, first minus second, with its interval `low` to `high`.
        holds: Whether the interval lies on the side on which it was chosen.
    """

    feature: int
    chosen: float
    first: float
    second: float
    difference: float
    low: float
    high: float
    holds: bool


@dataclass(frozen=True)
class Contrast:
    """Features that tell two sets of prompts apart, the ones that were chosen first in front.

    Attributes:
        where: `last` or `max`: what of a prompt is compared.
        n_first, n_second: Held-out prompts of each set.
    """

    where: str
    n_first: int
    n_second: int
    rows: tuple[ContrastRow, ...]

    def frame(self) -> "pd.DataFrame":
        """One row a feature."""
        import pandas as pd

        return pd.DataFrame([vars(row) for row in self.rows], columns=list(ContrastRow.__annotations__))


def contrast(
    model: PatchableModel,
    dictionary: Dictionary,
    first: PromptBatch,
    second: PromptBatch,
    *,
    where: Literal["last", "max"] = "max",
    top: int = TOP_CONTRASTED,
    seed: int = SEED,
) -> Contrast:
    """Find the features whose activations differ most between two sets of prompts, and test them on held-out prompts.

    Args:
        first, second: Their clean prompts are compared.
        where: The largest activation of each prompt behind its first token (`max`), or that at its last token (`last`).
        top: How many features are tested.
        seed: Of the halves.

    Raises:
        TaskError: A set has fewer than 10 prompts, or a prompt doesn't fit the model.
        ModelError: The dictionary is another model's.
    """
    dictionary.check_fits(model)
    for name, batch in (("first", first), ("second", second)):
        model.check_batch(batch)
        if batch.n < FEWEST:
            raise TaskError(f"the {name} set has {batch.n} prompts; {FEWEST} at least are needed, half of them to test")
    dictionary = dictionary.to(model.device)
    halves = [_halves(_activations(model, dictionary, batch, where), seed) for batch in (first, second)]
    (chosen_a, tested_a), (chosen_b, tested_b) = halves
    spread = np.sqrt((chosen_a.var(0) + chosen_b.var(0)) / 2)
    apart = chosen_a.mean(0) - chosen_b.mean(0)
    size = np.abs(apart) / np.where(spread > 0, spread, np.inf)
    size = np.where((spread == 0) & (apart != 0), np.inf, size)
    ranked = np.lexsort((-np.abs(apart), -size))[:top]
    tried = [int(i) for i in ranked if apart[i]]
    rows = tuple(_row(i, float(apart[i]), tested_a[:, i], tested_b[:, i], len(tried)) for i in tried)
    return Contrast(where, len(tested_a), len(tested_b), rows)


def _activations(
    model: PatchableModel, dictionary: Dictionary, batch: PromptBatch, where: str
) -> Float[np.ndarray, "prompt n"]:
    """One number of each prompt and feature."""
    seen: Tensor = batch.attention & (batch.position_ids > 0)
    found = []
    for start, features in features_of(model, dictionary, batch):
        if where == "last":
            found.append(features[:, -1])
        else:
            found.append((features * seen[start : start + len(features), :, None].to(features)).amax(1))
    return torch.cat(found).double().cpu().numpy()


def _halves(
    values: Float[np.ndarray, "prompt n"], seed: int
) -> tuple[Float[np.ndarray, "chosen n"], Float[np.ndarray, "tested n"]]:
    order = np.random.default_rng(seed).permutation(len(values))
    middle = len(values) // 2
    return values[order[:middle]], values[order[middle:]]


def _row(feature: int, chosen: float, a: np.ndarray, b: np.ndarray, n_tested: int) -> ContrastRow:
    """Welch's interval of the difference of two means."""
    from scipy.stats import t

    difference = float(a.mean() - b.mean())
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    error = float(np.sqrt(sum(parts)))
    low = high = difference
    if error > 0:
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
        reach = error * float(t.ppf(1 - ALPHA / (2 * n_tested), freedom))
        low, high = difference - reach, difference + reach
    holds = low > 0 if chosen > 0 else high < 0
    return ContrastRow(feature, chosen, float(a.mean()), float(b.mean()), difference, low, high, bool(holds))
