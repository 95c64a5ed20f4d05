"""Values as a user's code gives them: what can be made of each, and how a message names it."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from acdc.errors import TaskError, printable

__all__ = ["hint_of", "items_of", "seen", "text_of", "whole_of"]


def text_of(text: str, what: str) -> str:
    """The text itself.

    Raises:
        TaskError: It can't be written as UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TaskError(f"{what} is not text: it holds half a character (a lone surrogate), {seen(text)}") from None
    return str(text)


def items_of(value: Any) -> list[Any] | None:
    """The entries of a list, tuple, range, or array of one dimension; None of anything else."""
    if isinstance(value, list | tuple | range):
        return list(value)
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 1:
        return list(value.tolist())
    return None


def whole_of(value: Any) -> int | None:
    """The value as a whole number, if it is one: 14, 14.0, NumPy's, or a tensor of one number."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, Integral):
        return int(value)
    number = float(value) if isinstance(value, Real) else math.nan
    return int(number) if number.is_integer() else None


def hint_of(value: Any) -> str:
    """What to do about what is often given."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim > 1:
        return "; a row of it, like ids[0], is one prompt"
    return ""


def seen(value: Any) -> str:
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
