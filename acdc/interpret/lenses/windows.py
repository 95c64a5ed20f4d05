"""What lenses and dictionaries are trained on: windows of a text, or random tokens, and a part of them held out."""

from collections.abc import Iterable

import torch
from jaxtyping import Int
from torch import Tensor

from acdc.errors import RunError, TaskError
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_ids

__all__ = ["LENGTH", "random_windows", "split", "text_windows", "window_length"]

LENGTH = 128  # tokens of a window
HELD_OUT = 10  # every tenth window


def window_length(model: PatchableModel, length: int | None) -> int:
    """How many tokens a window has: as many as are asked for; if that is None 128, or the model's context where that is
    shorter.

    Raises:
        RunError: They are fewer than 2, or more than the model's context.
    """
    if length is None:
        return min(LENGTH, model.n_context or LENGTH)
    if length < 2:
        raise RunError(f"a window must have at least 2 tokens, not {length}")
    if model.n_context is not None and length > model.n_context:
        raise RunError(f"windows of {length} tokens are longer than the context of {model.name!r}, {model.n_context}")
    return length


def text_windows(
    model: PatchableModel,
    text: str | Iterable[str],
    *,
    length: int | None = None,
    bos: bool | None = None,
    most: int | None = None,
) -> PromptBatch:
    """The text in windows of so many tokens, one after the other; each begins with what the tokenizer puts first.

    Args:
        text: One, or several, which follow each other with the tokenizer's end of text between them, if it has one.
        length: Of a window; see `window_length`.
        most: How many tokens of the texts are read.

    Raises:
        RunError: There are no such windows.
        TaskError: The text is empty, or has fewer than two windows.
    """
    own, before = list[int](), list[int]()
    for each in (text,) if isinstance(text, str) else text:
        if not each:
            continue
        whole, n = text_ids(each, model.tokenizer, bos=bos), len(text_ids(each, model.tokenizer, bos=False))
        end = getattr(model.tokenizer, "eos_token_id", None) if own else None
        before = whole[: len(whole) - n]
        own += ([] if end is None else [end]) + whole[len(before) :]
        if most is not None and len(own) >= most:
            break
    if not own:
        raise TaskError("the text is empty; give one of at least two windows")
    own, length = own[:most], window_length(model, length)
    step = length - len(before)
    windows = [before + own[i : i + step] for i in range(0, len(own) - step + 1, step)]
    if len(windows) < 2:
        raise TaskError(
            f"the text has {len(own)} tokens, but at least two windows of {length} are needed; "
            "give a longer text, or shorter windows"
        )
    return _batch(torch.tensor(windows), "text")


def random_windows(model: PatchableModel, n: int, *, length: int | None = None, seed: int = 0) -> PromptBatch:
    """Windows of random tokens of the model's vocabulary, each token as likely as any other."""
    draw = torch.Generator().manual_seed(seed)
    length = window_length(model, length)
    return _batch(torch.randint(len(model.components.unembed), (n, length), generator=draw), "random tokens")


def split(windows: PromptBatch) -> tuple[PromptBatch, PromptBatch]:
    """Those to train on, and every tenth, or the last, held out."""
    held_out = list(range(HELD_OUT - 1, windows.n, HELD_OUT)) or [windows.n - 1]
    return windows.select([row for row in range(windows.n) if row not in set(held_out)]), windows.select(held_out)


def _batch(ids: Int[Tensor, "n length"], name: str) -> PromptBatch:
    none = torch.empty(len(ids), 0, dtype=torch.long)
    return PromptBatch(ids, ids, torch.ones_like(ids, dtype=torch.bool), none, none, task=name)
