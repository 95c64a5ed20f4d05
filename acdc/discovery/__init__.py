"""Discovery methods: each takes a `Problem` and finds a circuit."""

from acdc.discovery.acdc import acdc
from acdc.discovery.attribution.scorers import SCORERS, get_scorer
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.masks.edge_pruning import edge_pruning
from acdc.discovery.masks.subnetwork_probing import subnetwork_probing
from acdc.discovery.method import Checkpoint, DiscoveryResult, Method
from acdc.discovery.scored import scored
from acdc.errors import unknown_name

__all__ = ["METHODS", "SCORERS", "Checkpoint", "DiscoveryResult", "EdgeScores", "Method", "get_method", "get_scorer"]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("acdc", "greedy removal of edges by exact patching, from the logits back", "Conmy et al. 2023", acdc),
        *(
            Method(name, summary, source, scored(SCORERS[name]), at_clean)
            for name, summary, source, at_clean in (
                ("exact", "each edge's own effect, measured by patching it alone", "leave-one-out", False),
                ("eap", "each edge's effect to first order at the clean run", "Syed et al. 2023", True),
                ("eap-ig-inputs", "the same, averaged over inputs between the worlds", "Hanna et al. 2024", False),
                ("eap-ig-activations", "the same, averaged over a source's own outputs", "Hanna et al. 2024", False),
                ("hisp", "gradient times activation of nodes", "Michel et al. 2019", True),
                ("nap", "each node's effect to first order at the clean run", "Nanda 2023", True),
                ("nap-ig", "the same, averaged over inputs between the worlds", "Mueller et al. 2025", False),
                ("ifr", "each source's share in what a destination reads", "Ferrando & Voita 2024", False),
                ("ensemble", "the mean of several scorers", "Mondorf et al. 2025", True),
                ("random", "a control: scores that are drawn", "control", False),
                ("degree-matched", "a control: a scorer's scores, shuffled within layers", "control", True),
            )
        ),
        Method("edge-pruning", "a mask over all edges, learned by descent", "Bhaskar et al. 2024", edge_pruning),
        Method(
            "subnetwork-probing", "a mask over the nodes, learned by descent", "Cao et al. 2021", subnetwork_probing
        ),
    )
}


# what other tools call them
ALIASES = {"information-flow-routes": "ifr", "edge-attribution-patching": "eap", "leave-one-out": "exact"}


def get_method(name: str) -> Method:
    """The method of this name, or of the name that other tools give it.

    Raises:
        UnknownNameError: There is none.
    """
    name = ALIASES.get(name, name)
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]
