"""A method's options: the keyword-only parameters of its search, with their defaults, types and meanings."""

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from acdc.discovery import Method
from acdc.errors import RunError, unknown_name

__all__ = ["Option", "check_options", "options_of"]

NOT_OPTIONS = ("journal", "progress")
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "none"}
REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Option:
    """One option of a method.

    Attributes:
        default: Its default; `inspect.Parameter.empty` if it must be given.
        kind: Its annotation.
        summary: What the method's docstring says of it.
    """

    name: str
    default: Any
    kind: Any
    summary: str


def options_of(method: Method) -> dict[str, Option]:
    """The method's options by name, in the order of its signature."""
    parameters = inspect.signature(method.search, eval_str=True).parameters.values()
    meanings = _argument_docs(method.search.__doc__ or "")
    return {
        p.name: Option(p.name, p.default, Any if p.annotation is p.empty else p.annotation, meanings.get(p.name, ""))
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name not in NOT_OPTIONS
    }


def check_options(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of the method: those given, as plain Python values of the right type, and the others' defaults.

    Raises:
        UnknownNameError: The method has no such option, or the option no such choice.
        RunError: A value has another type or is out of range, or an option without default isn't given.
    """
    known = options_of(method)
    for name in given:
        if name not in known:
            raise unknown_name(f"option of method {method.name!r}", name, known)
    for name, option in known.items():
        if option.default is REQUIRED and name not in given:
            raise RunError(f"method {method.name!r} needs a value for its option {name!r}")
    return {name: _checked(o, given[name]) if name in given else o.default for name, o in known.items()}


def _checked(option: Option, value: Any) -> Any:
    kinds = get_args(option.kind) if get_origin(option.kind) in (Union, UnionType) else (option.kind,)
    plain = _plain(value)
    for kind in kinds:
        if kind is float and type(plain) is int:
            plain = float(plain)
        if kind is Any or type(plain) is kind or (get_origin(kind) is Literal and plain in get_args(kind)):
            _check_range(option.name, plain)
            return plain
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices and isinstance(plain, str):
        raise unknown_name(f"value of option {option.name!r}:", plain, choices)
    expected = " or ".join(WORDS.get(kind, str(kind)) for kind in kinds)
    raise RunError(f"option {option.name!r} must be {expected}, not {value!r}")


def _check_range(name: str, value: Any) -> None:
    """What holds of an option in every method: numbers are numbers, and a threshold isn't negative."""
    if isinstance(value, float) and not math.isfinite(value):
        raise RunError(f"{name} must be a finite number, not {value}")
    if name == "tau" and value < 0:
        raise RunError(f"tau must be a number of at least 0 (an edge goes if the loss rises by less), not {value!r}")


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _argument_docs(doc: str) -> dict[str, str]:
    """The parameters' meanings from a Google-style docstring."""
    section = re.search(r"^( *)Args:\n((?:\1 +.*\n|\s*\n)*)", inspect.cleandoc(doc) + "\n", re.MULTILINE)
    if section is None:
        return {}
    found: dict[str, str] = {}
    for line in inspect.cleandoc(section[2]).splitlines():
        start = re.match(r"(\w+(?:, \w+)*): (.*)", line)
        if start:
            found |= dict.fromkeys(names := start[1].split(", "), start[2])
        elif found and line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found
