"""The induction head of Olsson et al.: it reads what followed, and makes the model say it."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.induction import copies_less
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "induction_copying"]


def induction_copying(evidence: Evidence) -> Scores:
    """As induction, counted only where the head's output raises the logit of the token that it reads."""
    return Scores(evidence.random_tokens.copied)


ROLE = Role(
    name="induction with copying",
    does="looks at what followed the current token's earlier occurrence, and raises that token's logit",
    evidence="random tokens",
    measure=induction_copying,
    definition="as induction, each share counted only where the head's output raises the logit of the token that "
    "followed, against the mean of all tokens",
    source="Olsson et al. 2022 (arXiv 2209.11895): prefix matching and copying",
    cut=0.4,
    test=copies_less,
)
