"""A method's options: the keyword-only parameters of its search, with their defaults, types and meanings."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acdc.discovery import Method
from acdc.errors import RunError, unknown_name
from acdc.ranges import checked

__all__ = ["Option", "check_options", "options_of"]

NOT_OPTIONS = ("checkpoint", "progress")
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
    return {
        name: checked(name, option.kind, given[name]) if name in given else option.default
        for name, option in known.items()
    }


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
