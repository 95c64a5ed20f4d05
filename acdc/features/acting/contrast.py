"""Features that tell two sets of prompts apart: right answers from wrong ones, a trigger from none, refusals from help.

They are chosen on one half of each set and tested on the other; see `acdc.features.acting.differences`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from acdc.errors import TaskError
from acdc.features.acting.differences import ContrastRow, chosen_features, held_out_rows
from acdc.features.acting.firing_prompts import FiringPrompts
from acdc.features.dictionary import Dictionary
from acdc.features.reading.tally import features_of
from acdc.features.site_values import behind_first
from acdc.models import PatchableModel
from acdc.options.defaults import SEED, TOP_CONTRASTED
from acdc.progress.progress import Tell
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEWEST", "Contrast", "contrast"]

FEWEST = 10  # prompts of a set: half of them are tested


@dataclass(frozen=True, eq=False)
class Contrast:
    """Features that tell two sets of prompts apart, the ones that were chosen first in front.

    Attributes:
        first, second: The held-out prompts of each set, and how the rows' features fire on them.
    """

    first: FiringPrompts
    second: FiringPrompts
    rows: tuple[ContrastRow, ...]

    def frame(self) -> "pd.DataFrame":
        """One row a feature; shares and means of the held-out prompts, differences first minus second."""
        import pandas as pd

        return pd.DataFrame([row.cells() for row in self.rows])

    def firing(self, i: int) -> FiringPrompts:
        """The set in which the feature of row i was chosen to fire more."""
        return self.first if self.rows[i].in_first else self.second


def contrast(
    model: PatchableModel,
    dictionary: Dictionary,
    first: PromptBatch,
    second: PromptBatch,
    *,
    where: Literal["last", "max"] = "max",
    top: int = TOP_CONTRASTED,
    seed: int = SEED,
    progress: Tell | None = None,
) -> Contrast:
    """Find the features whose activations differ most between two sets of prompts, and test them on held-out prompts.

    Args:
        first, second: Their clean prompts are compared. The test takes prompts for independent of each other.
        where: The largest activation of each prompt behind its first token (`max`), or that at its last token (`last`).
        top: How many features are tested.
        seed: Of the halves, and of the test's permutations.

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
    halves = [_halves(batch, seed) for batch in (first, second)]
    seen = [
        _largest(model, dictionary, batch, where, tell=progress, stage=f"choosing, {name} set")
        for (batch, _), name in zip(halves, ("first", "second"), strict=True)
    ]
    features, apart = chosen_features(seen[0], seen[1], top)
    tested = [
        FiringPrompts.of(model, dictionary, batch, features, where, tell=progress, stage=f"testing, {name} set")
        for (_, batch), name in zip(halves, ("first", "second"), strict=True)
    ]
    rows = held_out_rows(features, apart, tested[0].values, tested[1].values, seed=seed)
    return Contrast(tested[0], tested[1], rows)


def _halves(batch: PromptBatch, seed: int) -> tuple[PromptBatch, PromptBatch]:
    """The prompts to choose on, and those to test on, in a random order."""
    order = np.random.default_rng(seed).permutation(batch.n).tolist()
    return batch.select(order[: batch.n // 2]), batch.select(order[batch.n // 2 :])


def _largest(
    model: PatchableModel, dictionary: Dictionary, batch: PromptBatch, where: str, **telling: Any
) -> Float[np.ndarray, "prompt n"]:
    """One number of each prompt and feature."""
    seen, found = behind_first(batch), []
    for start, features in features_of(model, dictionary, batch, **telling):
        if where == "last":
            found.append(features[:, -1])
        else:
            found.append((features * seen[start : start + len(features), :, None].to(features)).amax(1))
    return torch.cat(found).cpu().float().numpy()
