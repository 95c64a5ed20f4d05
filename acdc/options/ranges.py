"""What values an argument takes: its type and its bounds, written once beside it and checked where it enters.

    steps: Annotated[int, Range(1, 1_000_000)] = 5

A value that comes as text from a command line (`Word`) is read as what the annotation asks for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from acdc.errors import RunError, shown, unknown_name
from acdc.registry import Registry

__all__ = [
    "Bytes",
    "Checked",
    "Count",
    "Learning",
    "OneOf",
    "Part",
    "Range",
    "Seed",
    "Share",
    "Steps",
    "Word",
    "checked",
    "described",
]

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "none"}


@dataclass(frozen=True)
class Range:
    """Bounds of a number: both belong to it unless `open_below` or `open_above` leaves one out.

    Attributes:
        why: What a number outside would mean, for the message.
    """

    least: int | float = -math.inf
    most: int | float = math.inf
    open_below: bool = False
    open_above: bool = False
    why: str = ""

    def holds(self, value: int | float) -> bool:
        """Whether a number lies within the bounds."""
        above = value > self.least if self.open_below else value >= self.least
        below = value < self.most if self.open_above else value <= self.most
        return above and below

    def __str__(self) -> str:
        parts = []
        if math.isfinite(self.least):
            parts.append(f"{'more than' if self.open_below else 'at least'} {_number(self.least)}")
        if math.isfinite(self.most):
            parts.append(f"{'less than' if self.open_above else 'at most'} {_number(self.most)}")
        return " and ".join(parts)


@dataclass(frozen=True)
class Checked:
    """A further check of a value: a function that raises an `ACDCError`."""

    check: Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class OneOf:
    """A name, or an alias, that a registry knows."""

    registry: Registry[Any]


class Word(str):
    """Text from a command line, to be read as what is wanted in its place."""

    __slots__ = ()


Seed = Annotated[int, Range(0, 2**32 - 1)]
Count = Annotated[int, Range(1, 10**9)]
Steps = Annotated[int, Range(1, 10**6)]
Bytes = Annotated[int, Range(1, 2**50)]
Share = Annotated[float, Range(0, 1)]
Part = Annotated[float, Range(0, 1, open_above=True)]
Learning = Annotated[float, Range(0, 1000, open_below=True)]


def checked(name: str, kind: Any, value: Any) -> Any:
    """The value as a plain Python value of this kind: a type, a `Literal`, a union of them, with `Range` or not.

    Raises:
        RunError: It is of another type or out of bounds; the message says what is expected.
        UnknownNameError: It is none of the choices.

    >>> checked("steps", Steps, 0)
    Traceback (most recent call last):
    ...
    acdc.errors.RunError: steps must be a whole number of at least 1 and at most 1,000,000, not 0
    """
    kinds = _kinds(kind)
    for one in sorted(kinds, key=lambda one: one is not NoneType):  # "none" is no text where None is taken
        plain = _as(one, value)
        if plain is not _NO:
            _check_rest(name, one, plain)
            return plain
    choices = [choice for one in kinds if get_origin(one) is Literal for choice in get_args(one)]
    if choices and isinstance(value, str):
        raise unknown_name(f"value of {name}:", str(value), choices)
    raise RunError(f"{name} must be {described(kind)}, not {_shown(value)}")


def described(kind: Any) -> str:
    """What values this kind takes, in words.

    >>> described(Share | None)
    'a number of at least 0 and at most 1 or none'
    """
    return " or ".join(map(_described, _kinds(kind)))


def _kinds(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


_NO = object()


def _as(kind: Any, value: Any) -> Any:
    """The value as one of this kind, or `_NO`."""
    base = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    plain = _read(base, value) if isinstance(value, Word) else _plain(value)
    if base is float and type(plain) is int:
        try:
            plain = float(plain)
        except OverflowError:
            plain = math.inf if plain > 0 else -math.inf
    if base is Any or base is type(plain) or (base is NoneType and plain is None):
        return plain
    return plain if get_origin(base) is Literal and plain in get_args(base) else _NO


def _read(base: Any, word: str) -> Any:
    """What a word of a command line stands for where this type is wanted; the text itself where it is no such thing."""
    named: dict[Any, dict[str, Any]] = {bool: {"true": True, "false": False}, NoneType: {"none": None}}
    if base in named:
        return named[base].get(word.lower(), str(word))
    if base in (int, float):
        try:
            return base(word)
        except ValueError:
            return str(word)
    return str(word)


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _check_rest(name: str, kind: Any, value: Any) -> None:
    """Bounds and further checks; numbers are finite everywhere."""
    if isinstance(value, float) and not math.isfinite(value):
        raise RunError(f"{name} must be a finite number, not {value}")
    for bound in get_args(kind)[1:] if get_origin(kind) is Annotated else ():
        if isinstance(bound, Checked):
            bound.check(value)
        elif isinstance(bound, OneOf):
            bound.registry.find(value)
        elif isinstance(bound, Range) and not bound.holds(value):
            why = f" ({bound.why})" if bound.why else ""
            raise RunError(f"{name} must be {_described(kind)}{why}, not {_shown(value)}")


def _described(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        base, *rest = get_args(kind)
        if names := [name for bound in rest if isinstance(bound, OneOf) for name in bound.registry]:
            return "one of " + ", ".join(names)
        bounds = " and ".join(str(bound) for bound in rest if isinstance(bound, Range))
        return f"{_described(base)} of {bounds}" if bounds else _described(base)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _shown(value: Any) -> str:
    """The value in a message: short, in one line."""
    return shown(str(value) if isinstance(value, Word) else value, 80)


def _number(value: int | float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
