"""Texts by themselves, without a corrupted side and without answers, as a batch that models run on."""

from collections.abc import Sequence
from typing import Any

import torch

from acdc.errors import TaskError
from acdc.prompts.batch import PromptBatch
from acdc.prompts.tokens import encode, names_of, surroundings

__all__ = ["text_batch", "text_ids"]


def text_ids(text: str, tokenizer: Any, *, bos: bool | None = None) -> list[int]:
    """A text's tokens behind what the tokenizer itself puts before it; without what it puts behind.

    Args:
        bos: None: as the tokenizer does. True: a BOS token stands before the text; False: nothing does.

    Raises:
        TaskError: The text is empty, or a BOS token is asked for that the tokenizer lacks.
    """
    ids = encode(tokenizer, text)
    if not ids:
        raise TaskError("the text is empty; give one of at least one token")
    if bos is False:
        return ids
    before = list(surroundings(tokenizer, text).before)
    if bos and tokenizer.bos_token_id is None:
        raise TaskError("a BOS token is asked for (bos, --bos), but the tokenizer has no BOS token")
    if bos and tokenizer.bos_token_id not in before:
        before = [tokenizer.bos_token_id, *before]
    return ids if before and ids[0] == before[-1] else before + ids  # it stands in the text already


def text_batch(texts: Sequence[str], tokenizer: Any, *, bos: bool | None = None, name: str = "text") -> PromptBatch:
    """Texts as clean prompts, padded on the left; the corrupted side is the same, and there are no answers.

    So it is for what runs a model and compares nothing: a lens, attention patterns, neutral text.

    Raises:
        TaskError: There is no text, one is empty, or a BOS token is asked for that the tokenizer lacks.
    """
    if not texts:
        raise TaskError("no text is given; at least one is needed")
    rows = [text_ids(text, tokenizer, bos=bos) for text in texts]
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    attention = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows])
    none = torch.empty(len(rows), 0, dtype=torch.long)
    before = rows[0][: len(rows[0]) - len(encode(tokenizer, texts[0]))]
    return PromptBatch(ids, ids, attention, none, none, task=name, before=tuple(names_of(tokenizer, before)))
