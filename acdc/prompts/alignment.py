"""Two prompts one above the other, token by token, for when they don't fit: what a reader needs to see where."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from acdc.errors import AlignmentError
from acdc.prompts.tokens import pieces

__all__ = ["aligned_tokens", "unequal_lengths"]

WIDTH = 100  # columns of a terminal that a line of tokens may take
MOST = 400  # tokens that are shown
GAP = ""


def unequal_lengths(clean: Sequence[int], corrupt: Sequence[int], tokenizer: Any, where: str) -> AlignmentError:
    """The error of a pair whose sides have different numbers of tokens, with both shown one above the other."""
    texts = [repr(tokenizer.decode(list(side))) for side in (clean, corrupt)]
    return AlignmentError(
        f"{where}: the two sides must have the same number of tokens; clean has {len(clean)} ({texts[0]}), corrupted "
        f"has {len(corrupt)} ({texts[1]})",
        aligned_tokens(clean, corrupt, tokenizer),
    )


def aligned_tokens(clean: Sequence[int], corrupt: Sequence[int], tokenizer: Any) -> tuple[str, ...]:
    """Lines that show both, token under token between bars, where they differ with marks below.

    Tokens that only one side has stand above a gap. Long prompts go on in further lines.
    """
    columns = list(_columns(list(clean)[:MOST], list(corrupt)[:MOST], tokenizer))
    lines: list[str] = []
    start = width = 0
    for i, (one, other) in enumerate(columns):
        size = max(len(one), len(other)) + 1
        if width + size > WIDTH and i > start:
            lines += _block(columns[start:i])
            start, width = i, 0
        width += size
    return (*lines, *_block(columns[start:]))


def _columns(clean: list[int], corrupt: list[int], tokenizer: Any) -> Iterator[tuple[str, str]]:
    """Tokens that stand under each other; an empty text where one side has none."""
    one, other = (_visible(pieces(tokenizer, side)) for side in (clean, corrupt))
    for _, i, i_end, j, j_end in SequenceMatcher(None, clean, corrupt, autojunk=False).get_opcodes():
        yield from zip_longest(one[i:i_end], other[j:j_end], fillvalue=GAP)


def _visible(tokens: list[str]) -> list[str]:
    """Tokens whose line breaks and tabs can be seen."""
    return [token.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") or "(nothing)" for token in tokens]


def _block(columns: Sequence[tuple[str, str]]) -> list[str]:
    """One line a side, and a line of marks where they differ."""
    widths = [max(map(len, pair)) for pair in columns]
    marks = [("" if one == other else "^" * max(len(one), len(other))) for one, other in columns]
    sides = [[one for one, _ in columns], [other for _, other in columns]]
    rows = ["".join(f"|{cell:<{width}}" for cell, width in zip(side, widths, strict=True)) for side in sides]
    below = "".join(f" {mark:<{width}}" for mark, width in zip(marks, widths, strict=True))
    return [f"  clean     {rows[0]}|", f"  corrupted {rows[1]}|", f"            {below}".rstrip()]
