"""Residual streams at named places of prompts, a few prompts at a time: what probes and directions are made of."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.interpret.continued import resid_at
from acdc.interpret.places import Places
from acdc.models import PatchableModel
from acdc.patching.activations import run
from acdc.prompts.batch import PromptBatch

__all__ = ["residuals", "rows_of", "stream_names"]

AT_ONCE = 32  # prompts


def residuals(
    model: PatchableModel, batch: PromptBatch, sides: Sequence[str], places: Places, layers: Sequence[int]
) -> Float[Tensor, "layer place prompt d_model"]:
    """What the residual stream holds before some blocks, at each place; prompts side by side.

    Args:
        sides: `clean`, `corrupt` or both.
        layers: Blocks; the number of blocks stands for the stream that the unembedding reads.
    """
    found = []
    for side in sides:
        for rows in torch.arange(batch.n).split(AT_ONCE):
            part = batch.select(rows)
            shift = batch.n_pos - part.n_pos
            done = run(model, part, getattr(part, side))
            columns = torch.stack([places[name][rows] - shift for name in places])  # [place prompt]
            every = torch.arange(len(rows)).expand_as(columns)
            found.append(torch.stack([resid_at(done, layer)[every, columns] for layer in layers]))
    return torch.cat(found, 2)


def rows_of(model: PatchableModel, most: int) -> list[int]:
    """At most so many residual streams, evenly spaced; the embedding and the last one among them.

    >>> from types import SimpleNamespace
    >>> rows_of(SimpleNamespace(graph=SimpleNamespace(n_layers=30)), 4)
    [0, 10, 20, 30]
    """
    n = model.graph.n_layers
    return sorted({round(i * n / (min(most, n + 1) - 1)) for i in range(min(most, n + 1))})


def stream_names(model: PatchableModel, layers: Sequence[int]) -> list[str]:
    """The residual streams before these blocks by name."""
    n = model.graph.n_layers
    return [f"resid_post {n - 1}" if layer == n else f"resid_pre {layer}" for layer in layers]
