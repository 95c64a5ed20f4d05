"""The previous-token head: it reads the token before."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "previous_token"]


def previous_token(evidence: Evidence) -> Scores:
    """mean_i A[i, i - 1] on random tokens."""
    return Scores(evidence.random_tokens.fresh[..., 1])


ROLE = Role(
    name="previous token",
    does="looks at the previous token",
    evidence="random tokens",
    measure=previous_token,
    definition="mean attention from each token to the one before, on random tokens",
    source="Elhage et al. 2021, A mathematical framework for transformer circuits; Olsson et al. 2022",
    cut=0.4,
)
