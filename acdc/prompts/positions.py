"""By which spans a batch's edges are split: none, those that its task names, or every position.

>>> POSITIONS
('all', 'spans', 'each')
"""

from dataclasses import replace

import torch

from acdc.errors import TaskError, unknown_name
from acdc.options.defaults import POSITIONS as ALL
from acdc.prompts.batch import PromptBatch
from acdc.prompts.span_tokens import NamedSpans

__all__ = ["POSITIONS", "SPANS", "check_positions", "positions_of", "split_as", "split_by"]

SPANS, EACH = "spans", "each"
POSITIONS = (ALL, SPANS, EACH)


def check_positions(positions: object) -> str:
    """The value, if it is one.

    Raises:
        UnknownNameError: It isn't.
    """
    if positions not in POSITIONS:
        raise unknown_name("positions", str(positions), POSITIONS)
    return str(positions)


def positions_of(spans: tuple[str, ...]) -> str:
    """How a graph with these spans was split."""
    return ALL if not spans else EACH if spans[0] == "0" else SPANS


def split_by(batch: PromptBatch, positions: str) -> PromptBatch:
    """The batch with its edges split by span.

    Args:
        positions: `all`: an edge acts at all positions. `spans`: it is an edge of its own at each span that the task
            names. `each`: at every position, named by its number, from 0.

    Raises:
        UnknownNameError: No such value.
        TaskError: The task names no spans, or the prompts differ in length, or there is only one span to split by.
    """
    if check_positions(positions) == ALL:
        return replace(batch, spans=(), span_ids=None)
    spans = _each(batch) if positions == EACH else batch.named
    if spans is None:
        raise TaskError(
            f"task {batch.task!r} names no spans to split by: name them in its pairs, PromptPair(..., spans={{'name': "
            "(start, end)}}), or split by every position (positions 'each'), if its prompts have one length"
        )
    if len(spans.names) == 1:
        raise TaskError(
            f"task {batch.task!r}: all tokens are in one span, {spans.names[0]!r}; there is nothing to split"
        )
    return replace(batch, spans=spans.names, span_ids=spans.ids)


def _each(batch: PromptBatch) -> NamedSpans:
    if not bool(batch.attention.all()):
        least, most = int(batch.lengths.min()), batch.n_pos
        raise TaskError(
            f"positions 'each' needs prompts of one length; those of task {batch.task!r} have {least} to {most} "
            "tokens. Split by spans that the task names (positions 'spans'), or give it prompts of one length"
        )
    return NamedSpans(
        tuple(map(str, range(batch.n_pos))), torch.arange(batch.n_pos).expand(batch.n, -1).to(batch.clean)
    )


def split_as(batch: PromptBatch, spans: tuple[str, ...]) -> PromptBatch:
    """The batch with its edges split by the spans of another one of the same task, like held-out prompts.

    Raises:
        TaskError: A token is in none of those spans, or the prompts have another length.
    """
    if not spans:
        return split_by(batch, ALL)
    own = _each(batch) if positions_of(spans) == EACH else batch.named
    if own is None or (unknown := [name for name in own.names if name not in spans]):
        have = "no spans" if own is None else f"tokens in {', '.join(unknown)}"
        raise TaskError(
            f"task {batch.task!r}: its edges are split by {', '.join(spans)}, and these prompts have {have}; every "
            "prompt must have its tokens in those spans"
        )
    if own.names[-1] != spans[-1]:
        raise TaskError(
            f"task {batch.task!r}: the target must be in span {spans[-1]!r}, as in discovery, not in {own.names[-1]!r}"
        )
    index = torch.tensor([spans.index(name) for name in own.names], device=own.ids.device)
    return replace(batch, spans=spans, span_ids=index[own.ids])
