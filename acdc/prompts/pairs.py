"""A pair of prompts as a task gives it, and the checks of its fields: whatever a user's code puts there is told."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from acdc.errors import TaskError, printable

__all__ = ["PromptPair", "checked"]


@dataclass(frozen=True)
class PromptPair:
    """A clean prompt, its corrupted twin, and the answers.

    Args:
        clean, corrupt: Text, or token ids. Both sides must have the same number of tokens. A text gets the special
            tokens that the tokenizer itself puts before it (often BOS); token ids are used as they are given.
        correct: Answers counted as right: text that is one token (with its leading space where the tokenizer has one),
            or token ids.
        wrong: Answers counted as wrong.
        target: The token position whose logits predict the answer, as a Python index into the prompt's own tokens. A
            prompt with several targets is several pairs.

    What is given is checked when a batch is made of it: whole numbers may also be NumPy's, in a tensor of one
    dimension, or written like 14.0.

    >>> PromptPair("The capital of France is", "The capital of Spain is", [" Paris"], [" Madrid"]).target
    -1
    """

    clean: str | Sequence[int]
    corrupt: str | Sequence[int]
    correct: Sequence[str | int]
    wrong: Sequence[str | int] = ()
    target: int = -1


def checked(pair: Any, where: str) -> PromptPair:
    """The pair with plain fields: text, lists of whole numbers or text, and a whole number.

    Raises:
        TaskError: It is not a pair, or a field is not of its kind; the message names the place and the field, and says
            what came and what is expected.
    """
    if not isinstance(pair, PromptPair):
        raise TaskError(f"{where}: expected a PromptPair, not {_seen(pair)}")
    clean, corrupt = (_prompt(getattr(pair, side), f"{where}: {side}") for side in ("clean", "corrupt"))
    correct, wrong = (_answers(getattr(pair, side), f"{where}: {side}") for side in ("correct", "wrong"))
    target = _whole(pair.target)
    if target is None:
        raise TaskError(f"{where}: target must be a whole number, a token's position, not {_seen(pair.target)}")
    return PromptPair(clean, corrupt, correct, wrong, target)


def _prompt(value: Any, what: str) -> str | list[int]:
    if isinstance(value, str):
        return _text(value, what)
    items = _items(value)
    if items is None:
        raise TaskError(f"{what} must be text or a list of token ids, not {_seen(value)}{_hint(value)}")
    ids = [_whole(item) for item in items]
    for i, (token, item) in enumerate(zip(ids, items, strict=True)):
        if token is None:
            raise TaskError(
                f"{what} must be text or a list of token ids; entry {i} is {_seen(item)}, not a whole number"
                f"{_hint(items)}"
            )
    return [token for token in ids if token is not None]


def _answers(value: Any, what: str) -> list[str | int]:
    if isinstance(value, str):
        raise TaskError(f"{what}: answers must be a list like [' Mary'], not the bare text {_seen(value)}")
    items = _items(value)
    if items is None:
        raise TaskError(f"{what}: answers must be a list like [' Mary'] or [314], not {_seen(value)}{_hint(value)}")
    found: list[str | int] = []
    for i, item in enumerate(items):
        answer = _text(item, what) if isinstance(item, str) else _whole(item)
        if answer is None:
            raise TaskError(f"{what}: answer {i} must be text of one token or a token id, not {_seen(item)}")
        found.append(answer)
    return found


def _text(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TaskError(f"{what} is not text: it holds half a character (a lone surrogate), {_seen(text)}") from None
    return str(text)


def _items(value: Any) -> list[Any] | None:
    """The entries of a list, tuple, range, or array of one dimension; None of anything else."""
    if isinstance(value, list | tuple | range):
        return list(value)
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 1:
        return list(value.tolist())
    return None


def _whole(value: Any) -> int | None:
    """The value as a whole number, if it is one: 14, 14.0, NumPy's, or a tensor of one number."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, Integral):
        return int(value)
    number = float(value) if isinstance(value, Real) else math.nan
    return int(number) if number.is_integer() else None


def _hint(value: Any) -> str:
    """What to do about what is often given."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "role" in item for item in value):
        return "; chat messages become text by tokenizer.apply_chat_template(messages, tokenize=False)"
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim > 1:
        return "; a row of it, like ids[0], is one prompt"
    return ""


def _seen(value: Any) -> str:
    """What came, in a few words."""
    if isinstance(value, torch.Tensor | np.ndarray):
        kind = "a tensor" if isinstance(value, torch.Tensor) else "an array"
        return f"{kind} of shape {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    kind = type(value).__name__
    try:
        words = printable(repr(value), 60)
    except Exception:  # a value's own repr is a user's code too; and that of a giant number is refused
        return f"a value of type {kind}"
    return words if value is None or isinstance(value, bool | int | float | str) else f"{words} ({kind})"
