"""What a pushed feature is compared with: a similar feature of the same dictionary, or a random direction.

A large enough change of the residual stream does something whatever its direction. What a feature does by its meaning
is what it does beyond a control that changes the stream as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from acdc.features.dictionary import Dictionary
from acdc.features.reading.tally import features_of
from acdc.features.site_values import behind_first
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.prompts.batch import PromptBatch

__all__ = ["Control", "Firings", "control_of", "firings", "random_directions"]

SIMILAR = 2.0  # by which factor density, largest activation and norm may differ
ALIKE = 0.3  # cosine from which on two features write too nearly the same, or the opposite


class Firings(NamedTuple):
    """How each feature fires on prompts, behind their first tokens.

    Attributes:
        density: Share of the tokens on which it does.
        largest: Its largest activation; 0 where it never fires.
    """

    density: Float[np.ndarray, " n"]
    largest: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Control:
    """What is pushed for comparison.

    Attributes:
        dictionary: The one that is pushed; where no feature is similar, one in which the feature writes a random
            direction of the same norm, so that each token's change has the same size.
        feature: Which of its features is pushed.
        what: It in words.
    """

    dictionary: Dictionary
    feature: int
    what: str


def firings(model: PatchableModel, dictionary: Dictionary, batch: PromptBatch) -> Firings:
    """How often and how strongly features fire on the clean prompts.

    Raises:
        ModelError: The dictionary is another model's.
    """
    dictionary.check_fits(model)
    dictionary = dictionary.to(model.device)
    seen = behind_first(batch)
    n, largest = torch.zeros(dictionary.n_features).double(), torch.zeros(dictionary.n_features).double()
    for start, features in features_of(model, dictionary, batch):
        here = (features * seen[start : start + len(features), :, None].to(features)).flatten(0, 1).double().cpu()
        n, largest = n + (here > 0).sum(0), torch.maximum(largest, here.amax(0))
    return Firings((n / max(1, int(seen.sum()))).numpy(), largest.numpy())


def control_of(
    dictionary: Dictionary, feature: int, found: Firings, *, seed: int = SEED, but: Sequence[int] = ()
) -> Control:
    """The feature that is most similar in density, largest activation and norm, and writes something else.

    Where none is within a factor of 2 in all three, or the feature never fires, a random direction.

    Args:
        found: How features fire on the prompts on which it is pushed.
        seed: Of the random direction.
        but: Features that aren't to be the control.
    """
    rows = dictionary.decoder[:].detach().double().cpu()
    near = _nearest(rows, feature, found, but)
    if near is not None:
        density, largest = found.density[near], found.largest[near]
        return Control(dictionary, near, f"feature {near} (fires on {density:.2%} of tokens, at most {largest:.3g})")
    return Control(random_directions(dictionary, [feature], seed=seed), feature, "random direction of the same norm")


def random_directions(dictionary: Dictionary, features: Sequence[int], *, seed: int = SEED) -> Dictionary:
    """The dictionary in which some features write random directions of the same norms; where they fire is the same."""
    decoder, draw = dictionary.decoder[:].clone(), torch.Generator().manual_seed(seed)
    for feature in features:
        row = decoder[feature].detach().double().cpu()
        drawn = torch.randn(row.shape, generator=draw, dtype=torch.float64)
        decoder[feature] = (drawn * row.norm(dim=-1, keepdim=True) / drawn.norm(dim=-1, keepdim=True)).to(decoder)
    return replace(dictionary, decoder=decoder)


def _nearest(rows: Float[Tensor, "n n_writes d"], feature: int, found: Firings, but: Sequence[int]) -> int | None:
    flat = rows.flatten(1)
    norms = flat.norm(dim=1)
    cosine = (flat @ flat[feature] / (norms * norms[feature]).clamp_min(1e-30)).numpy()
    sizes = np.stack([found.density, found.largest, norms.numpy()])
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(sizes / sizes[:, [feature]]))
    fits = (apart <= np.log(SIMILAR)).all(0) & (np.abs(cosine) < ALIKE)  # NaN and infinite ones don't
    fits[[feature, *but]] = False
    return int(np.where(fits, apart.sum(0), np.inf).argmin()) if fits.any() else None
