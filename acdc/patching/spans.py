"""The spans of a batch's prompts, by which edges are split: in the graph, and where their tokens stand."""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.prompts.batch import PromptBatch

__all__ = ["span_masks", "split_graph"]


def split_graph(graph: Graph, batch: PromptBatch) -> Graph:
    """A model's graph with its edges split by the batch's spans; as it is where there are none."""
    return graph.split(batch.spans, _sees(batch)) if batch.spans else graph


def span_masks(batch: PromptBatch, dtype: torch.dtype) -> Float[Tensor, "batch pos span"] | None:
    """1 at the tokens of each span, padding left out; None where edges are not split."""
    if batch.span_ids is None:
        return None
    spans = torch.arange(len(batch.spans), device=batch.span_ids.device)
    return ((batch.span_ids[:, :, None] == spans) & batch.attention[:, :, None]).to(dtype)


def _sees(batch: PromptBatch) -> tuple[tuple[bool, ...], ...]:
    """Which spans attend to which: those of which a token stands, in some prompt, at or before one of the other's."""
    assert batch.span_ids is not None
    found = torch.zeros(len(batch.spans), len(batch.spans), dtype=torch.bool)
    for ids, real in zip(batch.span_ids.cpu(), batch.attention.cpu(), strict=True):
        earlier = torch.zeros(len(batch.spans), dtype=torch.bool)
        for span in ids[real].tolist():
            earlier[span] = True
            found[span] |= earlier
    return tuple(tuple(row) for row in found.tolist())
