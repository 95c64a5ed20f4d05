"""Which positions of the prompts make up a column of a map."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.errors import TaskError, printable, unknown_name
from acdc.prompts.batch import PromptBatch

__all__ = ["ALIGNMENTS", "Columns", "columns_of", "token_label"]

ALIGNMENTS = ("each", "end", "spans")


@dataclass(frozen=True)
class Columns:
    """The columns of maps over positions.

    Attributes:
        labels: A name for each.
        where: The positions of every prompt that belong to each; of different lengths, they needn't be one a prompt.
    """

    labels: tuple[str, ...]
    where: Bool[Tensor, "column batch pos"]


def columns_of(batch: PromptBatch, tokenizer: Any, alignment: str | None = None) -> Columns:
    """The columns over a batch's positions.

    Args:
        alignment: `each`: every position, where all prompts have one length; `end`: positions counted from the target
            back, as far as the shortest prompt goes, and one column for all before; `spans`: the spans that the prompts
            name. None: the spans of several prompts that name any, else each position.

    Raises:
        UnknownNameError: There is no such alignment.
        TaskError: The prompts have several lengths, and nothing says how to align them; or they name no spans.
    """
    if alignment is not None and alignment not in ALIGNMENTS:
        raise unknown_name("alignment of positions", alignment, ALIGNMENTS)
    if alignment == "spans" or (alignment is None and batch.n > 1 and batch.named is not None):
        return _spans(batch)
    shortest, longest = int(batch.lengths.min()), int(batch.lengths.max())
    if shortest == longest:
        return Columns(_labels(batch, tokenizer, 0), _single(batch, 0))
    if alignment == "end":
        before = batch.attention.clone()
        before[:, batch.n_pos - shortest :] = False
        return Columns(
            ("before", *_labels(batch, tokenizer, batch.n_pos - shortest)),
            torch.cat([before[None], _single(batch, batch.n_pos - shortest)]),
        )
    raise TaskError(
        f"task {batch.task!r} has prompts of {shortest} to {longest} tokens, so a position is not the same word in all "
        "of them: align them at their ends (columns='end', --columns end), name their spans, or use prompts of one "
        "length"
    )


def _spans(batch: PromptBatch) -> Columns:
    """A column for each span."""
    if (named := batch.named) is None:
        raise TaskError(
            f"task {batch.task!r} names no spans of its prompts; align positions at their ends (columns='end', "
            "--columns end), or give the pairs spans (PromptPair(..., spans=...))"
        )
    numbers = torch.arange(len(named.names), device=named.ids.device)
    return Columns(named.names, (named.ids == numbers[:, None, None]).to(batch.clean.device) & batch.attention)


def _single(batch: PromptBatch, first: int) -> Bool[Tensor, "column batch pos"]:
    """A column for each position from `first` on."""
    eye = torch.eye(batch.n_pos, dtype=torch.bool, device=batch.clean.device)[first:]
    return eye[:, None, :].expand(-1, batch.n, -1) & batch.attention


def _labels(batch: PromptBatch, tokenizer: Any, first: int) -> tuple[str, ...]:
    """A position's number, from the end where lengths differ, and its token where all prompts have the same."""
    found = []
    for column in range(first, batch.n_pos):
        sides = [side[:, column].unique().tolist() for side in (batch.clean, batch.corrupt)]
        number = str(column - batch.n_pos if first else column)
        if any(len(tokens) > 1 for tokens in sides):
            found.append(number)
            continue
        names = dict.fromkeys(token_label(tokenizer, tokens[0]) for tokens in sides)
        found.append(f"{number}:{'|'.join(names)}")
    return tuple(found)


def token_label(tokenizer: Any, token: int) -> str:
    """A token as it is read, without outer spaces; one of spaces alone as code writes it."""
    text = str(tokenizer.decode([token]))
    return printable(text.strip(), 40) or repr(text)
