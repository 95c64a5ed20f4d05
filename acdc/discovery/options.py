"""A function's options: its keyword-only parameters, with their defaults, kinds and meanings."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import docstring_parser

from acdc.errors import RunError

__all__ = ["REQUIRED", "Option", "options_of", "renamed"]

REQUIRED = inspect.Parameter.empty
# Names in runs of older versions, which are still taken.
OLD_NAMES = {"retention": "faithfulness", "price": "l0_penalty", "warm_start": "start"}
GIVEN_BY_THE_RUN = ("checkpoint", "progress", "n_groups")  # keyword-only parameters that no user gives


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        default: Its default; `REQUIRED` if it must be given.
        kind: Its annotation: see `acdc.options.ranges`.
        summary: What the docstring says of it under `Args`.
    """

    name: str
    default: Any
    kind: Any
    summary: str


def options_of(function: Callable[..., Any]) -> dict[str, Option]:
    """A function's options by name, in the order of its signature."""
    told = {each.arg_name: each.description for each in docstring_parser.parse(function.__doc__ or "").params}
    return {
        p.name: Option(
            p.name,
            p.default,
            Any if p.annotation is p.empty else p.annotation,
            " ".join((told.get(p.name) or "").split()),
        )
        for p in inspect.signature(function, eval_str=True).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name not in GIVEN_BY_THE_RUN
    }


def renamed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options under the names that they have now.

    Raises:
        RunError: One is given under both its names.
    """
    for old, new in OLD_NAMES.items():
        if old in options and new in options:
            raise RunError(f"{new} is given twice: {old} is an older name of it")
    return {OLD_NAMES.get(name, name): value for name, value in options.items()}
