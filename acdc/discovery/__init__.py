"""Discovery methods: each takes a `Problem` and finds a circuit."""

from acdc.discovery.acdc import acdc
from acdc.discovery.eap import eap
from acdc.discovery.method import Found, Journal, Method, Progress
from acdc.discovery.scored import scored
from acdc.errors import unknown_name

__all__ = ["METHODS", "Found", "Journal", "Method", "Progress", "get_method"]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("acdc", "greedy removal of edges by exact patching, from the logits back", "Conmy et al. 2023", acdc),
        Method("eap", "each edge's effect to first order at the clean run", "Syed et al. 2023", scored(eap), True),
    )
}


def get_method(name: str) -> Method:
    """The method of this name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]
