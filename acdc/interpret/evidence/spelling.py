"""Texts of our own in a tokenizer that may lack their words."""

from typing import Any

from acdc.interpret.unmeasured import Unmeasured
from acdc.prompts.tokens import encode

__all__ = ["spelled"]


def spelled(tokenizer: Any, text: str) -> list[int]:
    """The text's tokens.

    Raises:
        Unmeasured: The tokenizer doesn't know a word of it.
    """
    try:
        ids = encode(tokenizer, text)
    except (KeyError, ValueError):  # a small tokenizer of one's own
        ids = []
    if not ids or tokenizer.unk_token_id in ids:
        raise Unmeasured(f"the tokenizer lacks words of texts like {text.strip()[:40]!r}")
    return ids
