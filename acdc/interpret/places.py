"""Where in prompts of different words to look: one column of each prompt, under a name that fits all of them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from acdc.prompts.batch import PromptBatch

__all__ = ["Places", "places_of"]

Places = Mapping[str, Tensor]  # by name, a column of each prompt: int64 `[batch]`


def places_of(batch: PromptBatch) -> Places:
    """The first and the last column in which the two sides differ, and the target, as `first change`, `last change`
    and `end`; places that are the same in every prompt are given once, under the later name."""
    differ = batch.clean != batch.corrupt
    column = torch.arange(batch.n_pos, device=differ.device).expand_as(differ)
    first = column.masked_fill(~differ, batch.n_pos).amin(1)
    last, end = column.masked_fill(~differ, -1).amax(1), column[:, -1]
    found = {"first change": first, "last change": last, "end": end}
    names = list(found)
    return {name: x for i, (name, x) in enumerate(found.items()) if not any(x.equal(found[y]) for y in names[i + 1 :])}
