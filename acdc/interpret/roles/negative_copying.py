"""The negative copying head: by its weights, a token that it reads it lowers in the logits."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "negative_copying"]


def negative_copying(evidence: Evidence) -> Scores:
    """Minus the copying score."""
    return Scores(-evidence.value_circuits.copying)


ROLE = Role(
    name="negative copying",
    does="lowers the logits of the tokens that it reads, by its weights",
    evidence="weights",
    measure=negative_copying,
    definition="minus the copying score",
    source="McDougall et al. 2023, Copy suppression (arXiv 2310.04625), by the score of Elhage et al. 2021",
    cut=0.5,
)
