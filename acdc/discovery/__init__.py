"""Discovery methods: each takes a `Problem` and finds a circuit."""

from acdc.discovery.acdc import acdc
from acdc.discovery.edge_pruning import edge_pruning
from acdc.discovery.method import Found, Journal, Method, Progress
from acdc.discovery.subnetwork_probing import subnetwork_probing
from acdc.errors import unknown_name

__all__ = ["METHODS", "Found", "Journal", "Method", "Progress", "get_method"]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("acdc", "greedy removal of edges by exact patching, from the logits back", "Conmy et al. 2023", acdc),
        Method("edge-pruning", "a mask over all edges, learned by descent", "Bhaskar et al. 2024", edge_pruning),
        Method("subnetwork-probing", "a mask over the nodes, learned by descent", "Cao et al. 2021", subnetwork_probing),
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
