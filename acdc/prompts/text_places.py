"""Where a text stands among a prompt's tokens."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from acdc.errors import TaskError, printable
from acdc.prompts.tokens import encode, pieces

__all__ = ["TokenText", "token_places"]

Extent = tuple[int, int]  # where a token's text begins and ends
BROKEN = "\ufffd"  # what part of a letter is decoded as


def token_places(tokenizer: Any, text: str, part: str) -> list[range]:
    """The tokens of each occurrence of `part` in a prompt's text, counted in the prompt's own tokens.

    Raises:
        TaskError: There is none that has whole tokens, but for spaces around it.
    """
    return [range(*extent) for extent in TokenText(tokenizer, text, "the prompt").places(part)]


class TokenText:
    """One side of a pair as text, with the place of each of its tokens in it.

    Args:
        given: The side as its pair gives it: text, or token ids.
        name: What messages call it: "the clean prompt".

    Raises:
        TaskError: The tokenizer can't say where its tokens stand in the text.
    """

    def __init__(self, tokenizer: Any, given: str | Sequence[int], name: str) -> None:
        self.name = name
        ids = encode(tokenizer, given) if isinstance(given, str) else list(given)
        parts = pieces(tokenizer, ids)
        self.text = given if isinstance(given, str) else "".join(parts)
        extents = _in_turn(parts, self.text) or _as_told(tokenizer, parts, self.text, ids)
        if extents is None:
            raise TaskError(
                f"it can't be told where in {self} its tokens stand, for this tokenizer does not give the text back; "
                "name the span by token positions"
            )
        self._extents = extents

    def __str__(self) -> str:
        return f"{self.name} {printable(repr(self.text), 80)}"

    def places(self, text: str) -> list[Extent]:
        """Token ranges (start, end) that spell this text, but for spaces around it, in the order of the prompt.

        Raises:
            TaskError: There is none.
        """
        touched = self._touched(text.strip(" "))
        if found := self._whole(text, touched):
            return found
        if touched:
            token = self._between(*touched[0])
            raise TaskError(f"{text!r} is only part of {token!r} in {self}; a span has whole tokens")
        raise TaskError(f"{text!r} does not occur in {self}")

    def occurrences(self, text: str) -> list[Extent]:
        """The same, and none where there is none."""
        return self._whole(text, self._touched(text.strip(" ")))

    def _whole(self, text: str, touched: list[Extent]) -> list[Extent]:
        return [extent for extent in touched if self._between(*extent).strip(" ") == text.strip(" ")]

    def _touched(self, text: str) -> list[Extent]:
        """Ranges of the tokens that have a part of an occurrence."""
        found, start = [], self.text.find(text)
        while start >= 0:
            end = start + len(text)
            tokens = [i for i, (left, right) in enumerate(self._extents) if left < end and right > start]
            found.append((tokens[0], tokens[-1] + 1))
            start = self.text.find(text, start + 1)
        return found

    def _between(self, first: int, end: int) -> str:
        return self.text[self._extents[first][0] : self._extents[end - 1][1]]


def _in_turn(parts: list[str], text: str) -> list[Extent] | None:
    """Where the tokens stand if their texts, one after the other, are the prompt; but for a space put before it."""
    whole = "".join(parts)
    if whole.lstrip(" ") != text.lstrip(" "):
        return None
    shift = len(text) - len(whole)
    ends = [max(0, end + shift) for end in accumulate(map(len, parts), initial=0)]
    return list(pairwise(ends))


def _as_told(tokenizer: Any, parts: list[str], text: str, ids: list[int]) -> list[Extent] | None:
    """Where the tokens stand as a fast tokenizer tells it: a letter of several tokens, or an unknown word, is no text.

    One that leaves signs out tells places that are not its tokens'.
    """
    if not getattr(tokenizer, "is_fast", False):
        return None
    told = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    extents = [(int(start), int(end)) for start, end in told["offset_mapping"]]
    special = {str(token) for token in tokenizer.all_special_tokens}
    agree = all(
        part.strip() == text[start:end].strip() or part in special or BROKEN in part
        for part, (start, end) in zip(parts, extents, strict=True)
    )
    return extents if agree and list(told["input_ids"]) == ids else None
