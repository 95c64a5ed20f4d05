"""What is declared of a family of models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acdc.models.components import ModelComponents

__all__ = ["Family"]


@dataclass(frozen=True)
class Family:
    """A supported architecture.

    Attributes:
        name: The name that users know.
        read: Says where the components of a live Hugging Face model are.
        models: Models of this family, for `acdc models`.
        tested: What of it is compared with Hugging Face in the tests.
        unfit: Why a model of this config can't be read, or None if it can.
    """

    name: str
    read: Callable[[Any], ModelComponents]
    models: str
    tested: str
    unfit: Callable[[Any], str | None] = lambda config: None
