"""Discovery methods: each takes a `Problem` and finds a circuit.

Every module here, and in the folders here, that declares a `METHOD` adds one.
"""

from acdc.discovery.attribution.scorers import get_scorer, scorers
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.checkpoint import Checkpoint
from acdc.discovery.method import Method, check_options, default_metric
from acdc.discovery.result import DiscoveryResult
from acdc.registry import Registry, declared

__all__ = [
    "METHODS",
    "SCORERS",
    "Checkpoint",
    "DiscoveryResult",
    "EdgeScores",
    "Method",
    "check_options",
    "default_metric",
    "get_method",
    "get_scorer",
]

_FOUND: list[Method] = sorted(declared("acdc.discovery", "METHOD"), key=lambda method: (method.baseline, method.name))
METHODS: Registry[Method] = Registry.of(
    "method", _FOUND, aliases={alias: method.name for method in _FOUND for alias in method.aliases}
)
SCORERS = scorers()


def get_method(name: str) -> Method:
    """The method of this name, or of the name that other tools give it.

    Raises:
        UnknownNameError: There is none.
    """
    return METHODS.find(name)
