"""The head that reads the token that it stands on."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "current_token"]


def current_token(evidence: Evidence) -> Scores:
    """mean_i A[i, i] on random tokens."""
    return Scores(evidence.random_tokens.fresh[..., 0])


ROLE = Role(
    name="current token",
    does="looks at the current token itself",
    evidence="random tokens",
    measure=current_token,
    definition="mean attention from each token to itself, on random tokens",
    source="the diagonal of Voita et al. 2019 (arXiv 1905.09418), section 4",
    cut=0.4,
)
