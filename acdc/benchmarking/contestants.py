"""What a benchmark compares: methods by their defaults, and methods with options that make them another.

eap            eap rules=gim            eap-ig-inputs steps=20 quadrature=gauss-legendre
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from acdc.discovery import METHODS, Method, check_options, get_method
from acdc.errors import RunError, printable
from acdc.options.ranges import Word

__all__ = ["Contestant", "contestants"]


@dataclass(frozen=True)
class Contestant:
    """A method and its options.

    Attributes:
        given: The options that aren't the defaults.
    """

    method: Method
    given: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As it is written.

        >>> Contestant(get_method("eap"), {"rules": "gim"}).name
        'eap rules=gim'
        """
        return " ".join([self.method.name, *(f"{key}={value}" for key, value in self.given.items())])

    @property
    def options(self) -> dict[str, Any]:
        """All of the method's options."""
        return check_options(self.method, self.given)


def contestants(names: list[str] | None) -> list[Contestant]:
    """Those of these names, each once; every method and its variants if None.

    Raises:
        UnknownNameError: No such method, or no such option of it.
        RunError: An option's value is out of range, or a word is no option.
    """
    found = list(_all()) if names is None else [_read(name) for name in names]
    return list({one.name: one for one in found}.values())


def _all() -> Iterator[Contestant]:
    for method in METHODS.values():
        yield Contestant(method, {})
        yield from (Contestant(method, given) for given in method.variants)


def _read(name: str) -> Contestant:
    first, *words = name.split()
    method, given = get_method(first), dict[str, Any]()
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key in given:
            raise RunError(
                f"{printable(name, 60)!r} must be a method and options, like 'eap rules=gim', each given once"
            )
        given[key] = Word(value)
    options, defaults = check_options(method, given), check_options(method, {})
    return Contestant(method, {key: options[key] for key in options if options[key] != defaults[key]})
