"""The subject of a prompt, like "The Space Needle" of what is asked about it: where its tokens are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.errors import TaskError, counted
from acdc.interpret.patching_maps.columns import Columns
from acdc.prompts.batch import PromptBatch, PromptPair
from acdc.prompts.text_places import TokenText
from acdc.prompts.tokens import encode

__all__ = ["Subject", "about_subject", "clean_batch", "subject_mask"]


def clean_batch(tokenizer: Any, prompts: Sequence[str], answers: Sequence[Sequence[str | int]]) -> PromptBatch:
    """Prompts without corrupted twins: both sides of the batch are the prompt itself.

    Raises:
        TaskError: A prompt is empty, or an answer isn't one token.
    """
    pairs = []
    for prompt, right in zip(prompts, answers, strict=True):
        ids = encode(tokenizer, prompt)
        twin = [*ids[:-1], (ids[-1] + 1) % len(tokenizer)] if ids else ids  # no batch is made of two equal sides
        pairs.append(PromptPair(ids, twin, right))
    batch = PromptBatch.from_pairs(pairs, tokenizer, task_name="tracing", bare_ids=True)
    return replace(batch, corrupt=batch.clean)


Subject = str | Sequence[str] | Bool[Tensor, "batch pos"]
"""Where noise is put: a span that prompts name, text of which the first occurrence is taken, or the positions."""


def subject_mask(batch: PromptBatch, tokenizer: Any, subject: Subject) -> Bool[Tensor, "batch pos"]:
    """Where the subject is in each clean prompt.

    Args:
        subject: One text for all prompts, or one for each.

    Raises:
        TaskError: There are more or fewer subjects than prompts, or a prompt has no such text, or none of whole tokens.
    """
    if isinstance(subject, Tensor):
        return subject.to(batch.clean.device) & batch.attention
    named = batch.named
    if isinstance(subject, str) and named is not None and subject in named.names:
        return (named.ids == named.names.index(subject)).to(batch.clean.device) & batch.attention
    texts = [subject] * batch.n if isinstance(subject, str) else list(subject)
    if len(texts) != batch.n:
        raise TaskError(f"{counted(len(texts), 'subject')} can't be those of {counted(batch.n, 'prompt')}")
    found = torch.zeros_like(batch.attention)
    for i, text in enumerate(texts):
        start = batch.n_pos - int(batch.lengths[i])
        if not text.strip(" "):
            raise TaskError("the subject is empty; name the words of the prompt that it is")
        side = TokenText(tokenizer, batch.clean[i, start:].tolist(), f"prompt {i}")
        first, last = side.places(text)[0]
        found[i, start + first : start + last] = True
    return found


def about_subject(subject: Bool[Tensor, "batch pos"], attention: Bool[Tensor, "batch pos"]) -> Columns:
    """Columns of prompts that are alike in their subject alone; a single token of it is its last."""
    inside = subject.long()
    nth = inside.cumsum(1) * inside  # 1 at the subject's first token
    last = subject & (nth == inside.sum(1, keepdim=True))
    after = (last.long().cumsum(1) - last.long()).bool() & attention
    following = after & (after.long().cumsum(1) == 1)
    target = torch.zeros_like(subject)
    target[:, -1] = True
    groups = {
        "before the subject": attention & ~subject & ~after & ~target,
        "first subject token": subject & (nth == 1) & ~last & ~target,
        "middle subject tokens": subject & (nth > 1) & ~last & ~target,
        "last subject token": last & ~target,
        "first token after": following & ~target,
        "further tokens": after & ~following & ~target,
        "last token": target,
    }
    return Columns(tuple(groups), torch.stack(list(groups.values())))
