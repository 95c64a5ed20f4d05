"""What a word of a command line stands for where nothing says which type is wanted."""

from typing import Any

__all__ = ["guessed"]


def guessed(text: str) -> Any:
    """A number, true, false, none, or the text itself.

    >>> guessed("5"), guessed("1e-3"), guessed("True"), guessed("abc")
    (5, 0.001, True, 'abc')
    """
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
