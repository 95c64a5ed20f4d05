"""What is declared of a family of models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acdc.models.components import ModelComponents

__all__ = ["NORMED", "Family"]

SEPARATE = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
NORMED = (*SEPARATE, "post_attention_layernorm")  # where a norm follows attention


@dataclass(frozen=True)
class Family:
    """A supported architecture.

    Attributes:
        name: The name that users know.
        read: Says where the components of a live Hugging Face model are.
        models: Models of this family, for `acdc models`.
        tested: What of it is compared with Hugging Face in the tests.
        unfit: Why a model of this config can't be read, or None if it can.
        reads: How the names of the modules end whose weights are read and which are never called, beside the
            unembedding.
    """

    name: str
    read: Callable[[Any], ModelComponents]
    models: str
    tested: str
    unfit: Callable[[Any], str | None] = lambda config: None
    reads: tuple[str, ...] = SEPARATE
