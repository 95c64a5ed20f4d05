"""Which token of a prompt is in which span.

Both sides of a pair have a span at the same tokens, and every token is in exactly one span. Those that a task names in
none are in one of three: the target in `end`; those before the first named token, special tokens included, in `prefix`;
all others in `rest`. A task may use these names itself; unnamed tokens then join what it named.

Reference: Haklay et al. 2025, Position-aware automatic circuit discovery (PEAP, arXiv 2502.04577), section 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from acdc.errors import TaskError, counted
from acdc.prompts.spans import Mention, Text, Tokens
from acdc.prompts.text_places import TokenText

__all__ = ["END", "PREFIX", "REST", "NamedSpans", "Sides", "named_spans", "spans_of_tokens"]

PREFIX, REST, END = "prefix", "rest", "end"
AUTOMATIC = (PREFIX, REST, END)


@dataclass(frozen=True)
class Sides:
    """The two sides of a pair; they are read as text only where a span is named by text.

    Attributes:
        clean, corrupt: As the pair gives them.
        before: Special tokens before each.
        length: Columns of both, special tokens included.
        kept: Columns up to the target.
        where: What messages begin with.
    """

    tokenizer: Any
    clean: str | Sequence[int]
    corrupt: str | Sequence[int]
    before: tuple[int, int]
    length: int
    kept: int
    where: str

    @cached_property
    def clean_text(self) -> TokenText:
        return TokenText(self.tokenizer, self.clean, "the clean prompt")

    @cached_property
    def corrupt_text(self) -> TokenText:
        return TokenText(self.tokenizer, self.corrupt, "the corrupted prompt")

    def columns(self, place: Tokens | Text) -> range:
        """The columns of a place in the prompt.

        Raises:
            TaskError: It lies outside of the prompt or behind its target; a text doesn't occur, occurs more than once,
                or stands at different tokens on the two sides.
        """
        columns = self._of_tokens(place) if isinstance(place, Tokens) else self._of_text(place)
        if columns.stop > self.kept:
            last, target = columns.stop - 1 - self.before[0], self.kept - 1 - self.before[0]
            raise TaskError(f"token {last} stands behind the target, token {target}, where nothing reads it")
        return columns

    def _of_tokens(self, place: Tokens) -> range:
        first, own = self.before[0], self.length - self.before[0]
        start = place.start + own * (place.start < 0)
        end = self.kept - first if place.end is None else place.end + own * (place.end < 0)
        if not (0 <= start < own and end <= own):
            raise TaskError(f"{_words(place)} is outside of the prompt's {own} tokens")
        if end <= start and place.end is not None:
            raise TaskError(f"the range ({place.start}, {place.end}) is empty: expected (first, last + 1)")
        return range(first + start, first + max(end, start + 1))

    def _of_text(self, place: Text) -> range:
        clean = self._mentioned(self.clean_text, place.clean, self.before[0])
        if place.corrupt is not None:
            corrupt = [self._mentioned(self.corrupt_text, place.corrupt, self.before[1])]
        else:  # the corrupted side may have another text there: then the clean one's tokens are meant
            corrupt = [_shifted(each, self.before[1]) for each in self.corrupt_text.occurrences(place.clean.text)]
        if corrupt and clean not in corrupt:
            one, other = _numbers(clean, self.before[0]), _numbers(corrupt[0], self.before[1])
            texts = place.clean.text, (place.corrupt or place.clean).text
            raise TaskError(
                f"{texts[0]!r} is {one} of {self.clean_text}, and {texts[1]!r} is {other} of {self.corrupt_text}; both "
                "sides must have a span at the same tokens (a pair of texts names each side's, positions both)"
            )
        return clean

    def _mentioned(self, text: TokenText, mention: Mention, before: int) -> range:
        """The columns of the one occurrence that is meant."""
        found = [_shifted(each, before) for each in text.places(mention.text)]
        if mention.occurrence is None and len(found) > 1:
            places = " and ".join(_numbers(each, before) for each in found)
            raise TaskError(
                f"{mention.text!r} occurs {len(found)} times in {text}, at {places}; say which, like "
                f"({mention.text!r}, 1), or name token positions"
            )
        if (mention.occurrence or 1) > len(found):
            times = counted(len(found), "time")
            raise TaskError(f"{mention.text!r} occurs only {times} in {text}, not {mention.occurrence} times")
        return found[(mention.occurrence or 1) - 1]


def _words(place: Tokens) -> str:
    if place.end == place.start + 1 or (place.start, place.end) == (-1, None):
        return f"token {place.start}"
    return f"the range ({place.start}, {place.end})"


def _shifted(extent: tuple[int, int], before: int) -> range:
    return range(before + extent[0], before + extent[1])


def _numbers(columns: range, before: int) -> str:
    first, last = columns.start - before, columns.stop - 1 - before
    return f"token {first}" if first == last else f"tokens {first} to {last}"


def spans_of_tokens(spans: Mapping[str, Sequence[Tokens | Text]], sides: Sides) -> list[str]:
    """The span of each column up to the target.

    Args:
        spans: As `checked_spans` gives them; at least one.

    Raises:
        TaskError: A place can't be found, or two spans have a token in common.
    """
    found: dict[int, str] = {}
    for name, places in spans.items():
        for place in places:
            try:
                columns = sides.columns(place)
            except TaskError as error:
                raise TaskError(f"{sides.where}: span {name!r}: {error}") from None
            for column in columns:
                if (other := found.setdefault(column, name)) != name:
                    raise TaskError(
                        f"{sides.where}: spans {other!r} and {name!r} both have token {column - sides.before[0]}; "
                        "a token is in one span"
                    )
    automatic = [PREFIX if column < min(found) else REST for column in range(sides.kept - 1)] + [END]
    return [found.get(column, name) for column, name in enumerate(automatic)]


@dataclass(frozen=True, eq=False)
class NamedSpans:
    """The spans of a batch's prompts.

    Attributes:
        names: In order: `prefix`, `rest`, the task's own, and last the one that holds the target of every prompt.
        ids: Index into `names` of each column; 0 at padding.
    """

    names: tuple[str, ...]
    ids: Int[Tensor, "batch pos"]

    def tokens(self, row: int, start: int) -> dict[str, list[int]]:
        """The tokens of each span that a prompt has, counted from the column where it starts."""
        found: dict[str, list[int]] = {}
        for token, span in enumerate(self.ids[row, start:].tolist()):
            found.setdefault(self.names[span], []).append(token)
        return {name: found[name] for name in self.names if name in found}


def named_spans(rows: Sequence[Sequence[str]], own: Sequence[Sequence[str]], task_name: str) -> NamedSpans | None:
    """The spans of a batch, or None if no pair names any.

    Args:
        rows: The span of each column of each pair; empty for one that names none.
        own: The names that each pair gives, in its order.

    Raises:
        TaskError: The pairs name different spans, or their targets lie in different ones.
    """
    if not any(own):
        return None
    for i, names in enumerate(own):
        if bool(names) != bool(own[0]) or set(names) - {*AUTOMATIC} != set(own[0]) - {*AUTOMATIC}:
            raise TaskError(
                f"task {task_name!r}, pair {i} names {_list(names)}, pair 0 {_list(own[0])}: every pair of a task must "
                "name the same spans"
            )
        if rows[i][-1] != rows[0][-1]:
            raise TaskError(
                f"task {task_name!r}: the target is in span {rows[0][-1]!r} of pair 0 and in span {rows[i][-1]!r} of "
                f"pair {i}; it must be in the same span of every pair"
            )
    target, used = rows[0][-1], {name for row in rows for name in row}
    middle = [name for name in dict.fromkeys((PREFIX, REST, *own[0], END)) if name in used and name != target]
    order = (*middle, target)
    width = max(map(len, rows))
    ids = [[0] * (width - len(row)) + [order.index(name) for name in row] for row in rows]
    return NamedSpans(order, torch.tensor(ids))


def _list(names: Sequence[str]) -> str:
    return f"the spans {', '.join(names)}" if names else "no spans"
