"""Every function of `acdc` is checked against its signature, shapes included, on a test's first calls of it.

A check takes several times what a layer of a tiny model takes. Of a function's calls in each test the first eight are
checked, then the 16th, the 32nd and so on; `pytest --every-call` checks all.
"""

import dataclasses
import functools
import inspect
from collections import defaultdict
from collections.abc import Callable
from types import CodeType
from typing import Any

import jaxtyping

FIRST = 8

_check = jaxtyping.jaxtyped


class Now:
    """The running test's number, and whether every call is checked."""

    test = 0
    every_call = False


@dataclasses.dataclass
class Calls:
    """How often a function was called in the running test."""

    test: int = -1
    n: int = 0

    def next_is_checked(self) -> bool:
        """Count one more."""
        if self.test != Now.test:
            self.test, self.n = Now.test, 0
        self.n += 1
        return self.n <= FIRST or self.n & (self.n - 1) == 0 or Now.every_call


_CALLS: dict[CodeType, Calls] = defaultdict(Calls)  # by code: a function in a function is made anew at each call of it


def check_signatures(package: str) -> None:
    """From here on, modules of `package` are imported with their functions and dataclasses checked."""
    jaxtyping.jaxtyped = at_first  # the import hook writes this name above each
    jaxtyping.install_import_hook(package, "beartype.beartype")


def at_first(*, typechecker: Callable) -> Callable:
    """A decorator of functions and dataclasses, in place of `jaxtyping.jaxtyped`."""

    def decorate(thing: Any) -> Any:
        if not inspect.isclass(thing):
            return _checked_at_first(thing, typechecker)
        if dataclasses.is_dataclass(thing) and not hasattr(thing.__init__, "is_checked_at_first"):
            thing.__init__ = _checked_at_first(thing.__init__, typechecker)
        return thing

    return decorate


def _checked_at_first(function: Callable, typechecker: Callable) -> Callable:
    """The check is made when it is first needed: of most functions never."""
    calls, checked = _CALLS[function.__code__], None

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        if not calls.next_is_checked():
            return function(*args, **kwargs)
        checked = checked or _check(function, typechecker=typechecker)
        return checked(*args, **kwargs)

    call.__code__ = call.__code__.replace(co_filename="<signatures>")  # no file of a user, who would be blamed
    call.is_checked_at_first = True
    return call
