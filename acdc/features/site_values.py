"""What sites hold on texts: the activations that dictionaries are trained and judged on."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.features.sites import Site, sites_of, through_sites, width_of
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY
from acdc.progress.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["SKIP", "behind_first", "pieces", "site_values"]

COPIES = 24  # tensors of a token's width that a run needs at once


SKIP = 1  # first tokens of a text that say nothing of it


def behind_first(texts: PromptBatch, skip: int = SKIP) -> Bool[Tensor, "batch pos"]:
    """True at all tokens but each text's first one, or first few.

    Models rest their attention on the first token, BOS or not: its residual stream is many times as long as others',
    and says nothing of the text.
    """
    return texts.attention & (texts.position_ids >= skip)


def pieces(model: PatchableModel, texts: PromptBatch, copies: int = COPIES) -> Iterator[PromptBatch]:
    """The texts, in parts of which so many tensors of a token's width fit into memory."""
    bytes_of_row = texts.n_pos * model.graph.d_model * model.dtype.itemsize * copies
    for rows in torch.arange(texts.n).split(max(1, MEMORY // bytes_of_row)):
        yield texts.select(rows).to(model.device)


@torch.no_grad()
def site_values(
    model: PatchableModel, texts: PromptBatch, sites: Sequence[Site], *, progress: Tell | None = None
) -> tuple[Float[Tensor, "tokens width"], ...]:
    """What each of the sites holds at all tokens but each text's first, text by text; in float32 at least.

    Raises:
        ModelError: The model has no such site.
    """
    for site in sites:
        width_of(model, site)
    kept: dict[Site, list[Tensor]] = {site: [] for site in sites}
    last, dtype, done = max(sites, key=sites_of(model).index), torch.promote_types(model.dtype, torch.float32), 0
    for part in pieces(model, texts):
        if progress is not None:
            progress(Progress(done, texts.n, stage="activations", unit="texts"))
        where = behind_first(part)

        def visit(site: Site, x: Tensor, where: Tensor = where) -> Tensor:
            if site in kept:
                kept[site].append(x[where].to(dtype))
            return x

        through_sites(model, part, part.clean, visit, stop=last)
        done += part.n
    return tuple(torch.cat(kept[site]) for site in sites)
