"""The first look at a text: how often and how strongly each feature fires, and where; one window's tokens at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.features.dictionary import Dictionary
from acdc.features.reading.entries import Entries
from acdc.features.reading.running import RunningTop, best_of_groups
from acdc.features.sites import through_sites
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY
from acdc.progress.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["EDGES", "N_EXAMPLES", "N_FIRED", "N_TOP", "Tally", "features_of", "tally"]

N_TOP = 16  # windows with the largest activations that are kept of each feature
N_EXAMPLES = 50  # random windows in which it fires: half to find a rule on, half to test it
N_FIRED = 200  # random tokens on which it fires, for what is said of tokens
EDGES = 2.0 ** (np.arange(-20, 21) / 2)  # of the histogram's bins, with one bin below and one above
COPIES = 4  # tensors of the size of a batch's features that are held at once


@dataclass(frozen=True)
class Tally:
    """What was counted; a token is numbered `window * width + column`, and -1 stands for none.

    Attributes:
        histogram: How many activations fall into each bin, `[n bins]`.
        total: Each feature's activations summed.
        top: The windows in which it fires most strongly, each by its strongest token.
        examples: Random windows in which it fires, each by a random one of the tokens on which it does.
        fired: Random tokens on which it fires.
        kept: All activations of the text's first windows: of as many as fit into memory.
    """

    histogram: Int[np.ndarray, "n bins"]
    total: Float[np.ndarray, " n"]
    top: RunningTop
    examples: RunningTop
    fired: RunningTop
    kept: tuple[Entries, ...]


def features_of(
    model: PatchableModel, dictionary: Dictionary, batch: PromptBatch, *, tell: Tell | None = None, stage: str = ""
) -> Iterator[tuple[int, Float[Tensor, "window pos n"]]]:
    """All features at all tokens, some windows at a time: the first window's number, and the features."""
    size = dictionary.n_features * dictionary.encoder.element_size() * COPIES
    rows = max(1, min(32, MEMORY // (size * batch.n_pos)))
    for start in range(0, batch.n, rows):
        if tell is not None:
            tell(Progress(start, batch.n, stage=stage, unit="windows"))
        some = batch.select(range(start, min(start + rows, batch.n)))
        some = some.to(model.device)
        with torch.no_grad():
            held = through_sites(model, some, some.clean, lambda _, x: x, stop=dictionary.reads)
            found = dictionary.encode(held.to(dictionary.encoder))
        padding = batch.n_pos - found.shape[1]  # columns that are padding in all of them are not run
        yield start, torch.nn.functional.pad(found, (0, 0, padding, 0))


def tally(
    model: PatchableModel,
    dictionary: Dictionary,
    batch: PromptBatch,
    where: Bool[Tensor, "window pos"],
    order: Int[np.ndarray, " token"],
    *,
    tell: Tell | None = None,
) -> Tally:
    """Count.

    Args:
        where: Which tokens are counted.
        order: A random order of all tokens: the random windows and tokens of a feature are those that come first in it,
            so they depend neither on other features nor on how many windows run at once.
    """
    n, width = dictionary.n_features, batch.n_pos
    histogram, total = np.zeros(n * (len(EDGES) + 1), dtype=np.int64), np.zeros(n)
    top, examples, fired = (RunningTop(n, k) for k in (N_TOP, N_EXAMPLES, N_FIRED))
    kept, room = list[Entries](), MEMORY
    for start, features in features_of(model, dictionary, batch, tell=tell, stage="features"):
        found = Entries.of(start, features, where)
        token, feature, value = found.token, found.feature, found.value
        bins = np.searchsorted(EDGES, value, side="right")
        histogram += np.bincount(feature * (len(EDGES) + 1) + bins, minlength=len(histogram))
        total += np.bincount(feature, value, minlength=n)
        early = -order[token].astype(np.float64)
        fired.add(feature, early, token, value)
        for best_kept, key in ((top, value.astype(np.float64)), (examples, early)):
            best = best_of_groups(feature, token // width, key)
            best_kept.add(feature[best], key[best], token[best], value[best])
        if (room := room - found.nbytes) >= 0:
            kept.append(found)
    return Tally(histogram.reshape(n, -1), total, top, examples, fired, tuple(kept))
