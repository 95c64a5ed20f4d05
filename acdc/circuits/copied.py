"""A dataclass field that nobody can change from outside: of tensors and mappings, which let themselves be changed."""

from collections.abc import Callable
from dataclasses import MISSING
from typing import Any

import torch
from torch import Tensor

__all__ = ["Copied", "lazy_copy"]


class Copied:
    """A field that is copied when set and when read, so that nobody can change what the dataclass holds.

    Args:
        given: The copy to hold of what is given; it may refuse that.
        read: The copy to hand out of what is held.
        default: What is given if nothing is.
    """

    def __init__(self, given: Callable[[Any], Any], read: Callable[[Any], Any], default: Any = MISSING) -> None:
        self.given, self.read, self.default = given, read, default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None:
            return self.read(instance.__dict__[self.name])
        if self.default is MISSING:  # how `dataclass` learns that the field is required
            raise AttributeError(self.name)
        return self.default

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = self.given(value)


def lazy_copy(tensor: Tensor | None) -> Tensor | None:
    """A copy whose bytes are copied when someone writes to it, or never: at the shape of an 8B model they are 26 MB."""
    clone = getattr(torch, "_lazy_clone", torch.clone)  # torch's copy-on-write, which it may yet rename
    return None if tensor is None else clone(tensor)
