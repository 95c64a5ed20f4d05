"""How a pair names the spans of its prompt: by tokens or by text."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from acdc.errors import TaskError, shown
from acdc.prompts.given import items_of, seen, text_of, whole_of

__all__ = ["Mention", "Text", "Tokens", "Where", "checked_spans"]

FORBIDDEN = ("@", "<", ">", ",", '"', "->")  # they have a meaning in the names of edges
LONGEST_NAME = 40

Where: TypeAlias = int | str | range | tuple[Any, Any] | list[Any]


class Tokens(NamedTuple):
    """Tokens from `start` up to `end`, which is not one of them; None: up to the target."""

    start: int
    end: int | None


class Mention(NamedTuple):
    """A text, and which of its occurrences is meant, from 1; None: there is only one."""

    text: str
    occurrence: int | None = None


class Text(NamedTuple):
    """A text that both sides have at the same tokens: the clean side's, and the corrupted side's if it is another."""

    clean: Mention
    corrupt: Mention | None = None


def checked_spans(given: Any, where: str) -> dict[str, list[Tokens | Text]]:
    """The spans of a pair in one form, each a list of places.

    Raises:
        TaskError: It is no mapping, a name can't be used, or a place is not of its kind.
    """
    if not isinstance(given, Mapping):
        raise TaskError(f"{where}: spans must be a mapping like {{'IO': (2, 3)}}, not {seen(given)}")
    for name in given:
        _check_name(name, where)
    return {name: _places(value, f"{where}: span {name!r}") for name, value in given.items()}


def _check_name(name: Any, where: str) -> None:
    if not isinstance(name, str):
        raise TaskError(f"{where}: a span's name must be text, not {seen(name)}")
    taken = [sign for sign in FORBIDDEN if sign in name]
    if not name or len(name) > LONGEST_NAME or taken or not name.isprintable() or " " in name or name.isdigit():
        raise TaskError(
            f"{where}: {shown(name)} can't name a span: expected 1 to {LONGEST_NAME} printable characters without "
            f"spaces and without any of {' '.join(FORBIDDEN)}, and not a number alone"
        )


def _places(value: Any, what: str) -> list[Tokens | Text]:
    items = None if isinstance(value, tuple | range) else items_of(value)
    if items == []:
        raise TaskError(f"{what} is empty: at least one token is needed")
    return [_place(item, what) for item in ([value] if items is None else items)]


def _place(value: Any, what: str) -> Tokens | Text:
    if isinstance(value, Tokens | Text):
        return value
    if isinstance(value, range) and value.step == 1:
        return Tokens(value.start, value.stop)
    if (index := whole_of(value)) is not None:
        return Tokens(index, index + 1 or None)
    if (mention := _mention(value, what)) is not None:
        return Text(mention)
    if isinstance(value, tuple) and len(value) == 2:
        start, end = map(whole_of, value)
        if start is not None and (end is not None or value[1] is None):
            return Tokens(start, end)
        clean, corrupt = (_mention(side, what) for side in value)
        if clean is not None and corrupt is not None:
            return Text(clean, corrupt)
    raise TaskError(
        f"{what}: expected a token's position, a range (start, end), a text, a text with its occurrence like "
        f"('John', 2), a pair of texts for the two sides, or a list of these, not {seen(value)}"
    )


def _mention(value: Any, what: str) -> Mention | None:
    if isinstance(value, Mention):
        return value
    text, occurrence = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    number = whole_of(occurrence)
    if not isinstance(text, str) or (number is None) != (occurrence is None):
        return None
    if not text.strip(" "):
        raise TaskError(f"{what}: the text {text!r} has no characters")
    if number is not None and number < 1:
        raise TaskError(f"{what}: occurrences of {text!r} are counted from 1, not {number}")
    return Mention(text_of(text, what), number)
