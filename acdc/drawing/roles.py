"""The roles that an explanation claims of nodes, as pictures write them."""

from acdc.interpret.explanation import Explanation

__all__ = ["roles_of"]

MOST = 2  # roles of one node


def roles_of(explanation: Explanation) -> dict[str, tuple[str, ...]]:
    """Each node's strongest roles, but for those whose test failed; `?` stands behind one that was not tested.

    A node without any is not named.
    """
    found = {
        card.name: tuple(
            claim.role + ("" if claim.holds else "?") for claim in card.claims if claim.holds is not False
        )[:MOST]
        for card in explanation.nodes
    }
    return {name: roles for name, roles in found.items() if roles}
