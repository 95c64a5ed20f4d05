"""The duplicate-token head: it reads the earlier occurrence of the current token."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "duplicate_token"]


def duplicate_token(evidence: Evidence) -> Scores:
    """mean_i A[i, i - T] over the second half of T random tokens that come twice."""
    return Scores(evidence.random_tokens.duplicate)


ROLE = Role(
    name="duplicate token",
    does="looks at the current token's earlier occurrence",
    evidence="random tokens",
    measure=duplicate_token,
    definition="mean attention to the earlier copy, on random tokens that come twice",
    source="Wang et al. 2022, Interpretability in the wild (arXiv 2211.00593), section 3",
    cut=0.4,
)
