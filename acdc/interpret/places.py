"""Where in prompts of different words to look: one column of each prompt, under a name that fits all of them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from acdc.prompts.batch import PromptBatch
from acdc.prompts.span_tokens import PREFIX, REST

__all__ = ["Places", "Regions", "changes_of", "places_of", "regions_of", "spans_of"]

Places = Mapping[str, Tensor]  # by name, a column of each prompt: int64 `[batch]`


class Regions(NamedTuple):
    """A division of prompts into named parts: `ids[prompt, column]` says which of `names`; -1 at padding."""

    names: tuple[str, ...]
    ids: Int[Tensor, "batch pos"]


def places_of(batch: PromptBatch) -> Places:
    """The last token of each span that the task names; without spans, the places of `changes_of`."""
    if batch.named is None:
        return changes_of(batch)
    column = torch.arange(batch.n_pos, device=batch.clean.device).expand_as(batch.clean)
    found = {}
    for i, name in enumerate(batch.named.names):
        here = (batch.named.ids == i) & batch.attention
        if name not in (PREFIX, REST) and bool(here.any(1).all()):
            found[name] = column.masked_fill(~here, -1).amax(1)
    return found


def changes_of(batch: PromptBatch) -> Places:
    """The first and the last column in which the two sides differ, and the target, as `first change`, `last change`
    and `end`; places that are the same in every prompt are given once, under the later name."""
    differ = batch.clean != batch.corrupt
    column = torch.arange(batch.n_pos, device=differ.device).expand_as(differ)
    first = column.masked_fill(~differ, batch.n_pos).amin(1)
    last, end = column.masked_fill(~differ, -1).amax(1), column[:, -1]
    found = {"first change": first, "last change": last, "end": end}
    names = list(found)
    return {name: x for i, (name, x) in enumerate(found.items()) if not any(x.equal(found[y]) for y in names[i + 1 :])}


def spans_of(batch: PromptBatch) -> Regions | None:
    """The spans by which edges are split, which may be positions; else those that the task names; None: there are
    none."""
    if batch.span_ids is not None:
        return Regions(batch.spans, batch.span_ids.masked_fill(~batch.attention, -1))
    if batch.named is not None:
        return Regions(batch.named.names, batch.named.ids.masked_fill(~batch.attention, -1))
    return None


def regions_of(batch: PromptBatch) -> Regions:
    """The spans that the task names; without spans, the first token, the places of `changes_of`, and the rest."""
    if batch.named is not None:
        return Regions(batch.named.names, batch.named.ids.masked_fill(~batch.attention, -1))
    column = torch.arange(batch.n_pos, device=batch.clean.device).expand_as(batch.clean)
    places, ids = changes_of(batch), torch.full_like(batch.clean, 1)
    ids[column == (batch.n_pos - batch.lengths)[:, None]] = 0
    for i, at in enumerate(places.values(), 2):
        ids[column == at[:, None]] = i
    return Regions(("first token", "other tokens", *places), ids.masked_fill(~batch.attention, -1))
