"""The induction head: after a token that came before, it reads what followed it then."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "induction"]


def induction(evidence: Evidence) -> Scores:
    """mean_i A[i, i - (T - 1)] over the second half of T random tokens that come twice."""
    return Scores(evidence.random_tokens.induction)


ROLE = Role(
    name="induction",
    does="looks at what followed the current token's earlier occurrence",
    evidence="random tokens",
    measure=induction,
    definition="mean attention to the token after the earlier copy, on random tokens that come twice",
    source="Olsson et al. 2022, In-context learning and induction heads (arXiv 2209.11895): prefix matching",
    cut=0.4,
)
