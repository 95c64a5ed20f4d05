"""The text that features are read on, in windows."""

from collections.abc import Iterable, Sequence

import torch

from acdc.errors import TaskError
from acdc.features.site_values import SKIP
from acdc.interpret.lenses.windows import window_length
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_ids

__all__ = ["windows_of"]


def windows_of(
    texts: Iterable[str],
    model: PatchableModel,
    *,
    length: int | None = None,
    most: int | None = None,
    bos: bool | None = None,
    name: str = "text",
) -> PromptBatch:
    """Texts cut into windows, one after the other; a text's last window may be shorter. Each begins with what the
    tokenizer puts first.

    Args:
        length: Tokens of a window; see `window_length`.
        most: How many tokens to take at most, about.

    Raises:
        RunError: There are no such windows.
        TaskError: There is no text, one is empty, or a window would be too short to count a token of.
    """
    length, rows, taken = window_length(model, length), list[list[int]](), 0
    for text in texts:
        whole = text_ids(text, model.tokenizer, bos=bos)
        before = whole[: len(whole) - len(text_ids(text, model.tokenizer, bos=False))]
        step, own = length - len(before), whole[len(before) :]
        if step < 1 + SKIP:
            raise TaskError(f"windows of {length} tokens are too short; give at least {len(before) + 1 + SKIP}")
        cut = [before + own[i : i + step] for i in range(0, len(own), step)]
        rows += [row for row in cut if len(row) > SKIP]
        taken += len(own)
        if most is not None and taken >= most:
            rows = rows[: max(1, -(-most // length))] if len(rows) * length > most else rows
            break
    if not rows:
        raise TaskError(f"the text is too short: no window of it has more than {SKIP} token(s)")
    return _batch(rows, name)


def _batch(rows: Sequence[Sequence[int]], name: str) -> PromptBatch:
    width = max(map(len, rows))
    ids, attention = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :], attention[i, width - len(row) :] = torch.tensor(row), True
    none = torch.empty(len(rows), 0, dtype=torch.long)
    return PromptBatch(ids, ids, attention, none, none, task=name)
