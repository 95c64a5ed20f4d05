"""Numbers of bytes as people write them."""

import re
from typing import Any

from acdc.errors import RunError
from acdc.options.ranges import Bytes, Word, checked

__all__ = ["size_of"]

UNITS = {"": 1, "b": 1} | {
    f"{letter}{rest}": base**power
    for power, letter in enumerate("kmgt", 1)
    for rest, base in (("", 1024), ("b", 1000), ("ib", 1024))
}


def size_of(name: str, value: Any) -> int | None:
    """A number of bytes, given as one or as text; None stays.

    Raises:
        RunError: It is no such number.

    >>> size_of("memory", "1.5 GiB"), size_of("memory", "500MB"), size_of("memory", 1000)
    (1610612736, 500000000, 1000)
    """
    if value is None:
        return None
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", value)):
        number, unit = found[1], found[2].lower()
        if unit in UNITS and ("." not in number or UNITS[unit] > 1):
            value = int(float(number) * UNITS[unit]) if "." in number else int(number) * UNITS[unit]
    try:
        return int(checked(name, Bytes, Word(value) if isinstance(value, str) else value))
    except RunError as error:
        raise RunError(f"{error}; sizes like 500MB or 2GiB are taken too") from None
