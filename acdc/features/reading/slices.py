"""Slices of windows around a token, and the second look: what each feature does over the slices that were chosen."""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.features.dictionary import Dictionary
from acdc.features.reading.entries import Entries
from acdc.features.reading.tally import features_of
from acdc.models import PatchableModel
from acdc.progress.progress import Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["AFTER", "BEFORE", "WIDTH", "around", "look_again"]

BEFORE, AFTER = 20, 11  # tokens before and after the one that a slice is about: what comes before is what a model reads
WIDTH = BEFORE + 1 + AFTER


def around(rows: Float[np.ndarray, "window pos"] | Int[np.ndarray, "window pos"], where: np.ndarray) -> np.ndarray:
    """What stands in the slices around tokens, `[.. WIDTH]`; -1 outside of a window, and of no token (-1)."""
    padded = np.pad(rows, ((0, 0), (BEFORE, AFTER)), constant_values=-1)
    window, column = np.divmod(where, rows.shape[1])
    found = padded[window[..., None], column[..., None] + np.arange(WIDTH)]
    return np.where(where[..., None] < 0, -1, found)


def look_again(
    model: PatchableModel,
    dictionary: Dictionary,
    batch: PromptBatch,
    counted: Bool[Tensor, "window pos"],
    chosen: Sequence[Int[np.ndarray, "n _k"]],
    probes: Int[np.ndarray, " m"],
    kept: Sequence[Entries] = (),
    *,
    tell: Tell | None = None,
) -> tuple[list[Float[np.ndarray, "n _k slice"]], Bool[np.ndarray, "m n"]]:
    """Take the windows that were chosen from what is kept, and run the others once more.

    Args:
        chosen: Tokens of each feature, -1 for none.
        probes: Tokens around which all features are looked at.
        kept: All activations of the text's first windows.

    Returns:
        Each feature's activations around its tokens, 0 where none are counted; and whether it fires around each probe.
    """
    width = batch.n_pos
    needed = np.unique(np.concatenate([*(each[each >= 0] for each in chosen), probes]) // width)
    acts = [np.zeros((*each.shape, WIDTH), dtype=np.float32) for each in chosen]
    active = np.zeros((len(probes), dictionary.n_features), dtype=bool)
    at = [_by_window(each, width) for each in chosen]
    known = kept[-1].first + kept[-1].n if kept else 0
    again = _run(model, dictionary, batch, counted, needed[needed >= known], tell)
    for windows, features in chain(_remembered(kept, needed, width, dictionary.n_features), again):
        values = torch.nn.functional.pad(features, (0, 0, BEFORE, AFTER))
        for (feature, slot, window, column), out in zip(at, acts, strict=True):
            here = slice(np.searchsorted(window, windows[0]), np.searchsorted(window, windows[-1], side="right"))
            rows = np.searchsorted(windows, window[here])
            columns = column[here, None] + np.arange(WIDTH)
            found = values[torch.from_numpy(rows)[:, None], torch.from_numpy(columns), feature[here, None]]
            out[feature[here], slot[here]] = found.float().numpy()
        for i in np.flatnonzero(np.isin(probes // width, windows)):
            row, column_of = np.searchsorted(windows, probes[i] // width), probes[i] % width
            active[i] = (values[row, column_of : column_of + WIDTH] > 0).any(0).numpy()
    return acts, active


Looked = Iterator[tuple[Int[np.ndarray, " some"], Float[Tensor, "some pos n"]]]


def _remembered(kept: Sequence[Entries], needed: Int[np.ndarray, " needed"], width: int, n_features: int) -> Looked:
    """Windows that are needed, and their features on tokens that count."""
    for each in kept:
        windows = needed[(needed >= each.first) & (needed < each.first + each.n)]
        if len(windows):
            yield windows, each.dense(windows, width, n_features)


def _run(
    model: PatchableModel,
    dictionary: Dictionary,
    batch: PromptBatch,
    counted: Bool[Tensor, "window pos"],
    needed: Int[np.ndarray, " needed"],
    tell: Tell | None,
) -> Looked:
    """The same of windows that are run again."""
    if not len(needed):
        return
    some, seen = batch.select(needed.tolist()), counted[torch.from_numpy(needed)]
    lost = batch.n_pos - some.n_pos  # columns that are padding in all of them
    for start, features in features_of(model, dictionary, some, tell=tell, stage="examples"):
        n = len(features)
        counting = seen[start : start + n, lost:, None].to(features)
        yield needed[start : start + n], torch.nn.functional.pad(features * counting, (0, 0, lost, 0)).cpu()


def _by_window(where: Int[np.ndarray, "n k"], width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Feature, slot, window and column of each token, in the order of the windows."""
    feature, slot = np.nonzero(where >= 0)
    window, column = np.divmod(where[feature, slot], width)
    order = np.argsort(window, kind="stable")
    return feature[order], slot[order], window[order], column[order]
