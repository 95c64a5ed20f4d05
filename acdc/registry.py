"""Things by their names: an unknown name lists the known ones and the nearest match.

    METRICS = Registry.of("metric", [Metric("kl", ...), Metric("nll", ...)], aliases={"kld": "kl"})
    METRICS.find("kld")

A registry is a dict, in the order in which its entries came; only `find` knows aliases.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import walk_packages
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, runtime_checkable

from acdc.errors import unknown_name

__all__ = ["Registry", "declared"]

T = TypeVar("T")


@runtime_checkable
class Named(Protocol):
    """What says its own name."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


class Registry(dict[str, T]):
    """Entries of one kind by their names.

    Args:
        kind: What an entry is, for messages: "metric".
        aliases: Other names of entries, like those that other tools use.
    """

    def __init__(
        self, kind: str, entries: Mapping[str, T], *, aliases: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(entries)
        self.kind, self.aliases = kind, dict(aliases)

    @classmethod
    def of(cls, kind: str, entries: Iterable[N], *, aliases: Mapping[str, str] = MappingProxyType({})) -> "Registry[N]":
        """The registry of entries that say their own names."""
        return Registry(kind, {entry.name: entry for entry in entries}, aliases=aliases)

    def find(self, name: str) -> T:
        """The entry of this name or alias.

        Raises:
            UnknownNameError: There is none.

        >>> Registry("metric", {"kl": 1, "logit_diff": 2}).find("logitdiff")
        Traceback (most recent call last):
        ...
        acdc.errors.UnknownNameError: unknown metric 'logitdiff': did you mean 'logit_diff'? (known: kl, logit_diff)
        """
        name = self.aliases.get(name, name)
        if name not in self:
            raise unknown_name(self.kind, name, self)
        return self[name]


def declared(package: str, name: str) -> list[Any]:
    """What the modules of a package, and of the folders in it, call `name`; in the order of their names.

    So a new file that declares it is found without being listed anywhere.
    """
    places = import_module(package).__path__
    modules = [import_module(found.name) for found in walk_packages(places, f"{package}.")]
    return [vars(module)[name] for module in modules if name in vars(module)]
