"""The scorers by name: each gives every edge of a `Problem` a number."""

from functools import cache

from acdc.discovery.attribution.scores import Scorer
from acdc.registry import Registry, declared

__all__ = ["get_scorer", "scorers"]


@cache
def scorers() -> Registry[Scorer]:
    """What the methods of this folder score by; a function, since some of them are made of the others."""
    methods = declared("acdc.discovery.attribution", "METHOD")
    return Registry("scorer", {method.name: method.search.score for method in methods})


def get_scorer(name: str) -> Scorer:
    """The scorer of this name.

    Raises:
        UnknownNameError: There is none.
    """
    return scorers().find(name)
