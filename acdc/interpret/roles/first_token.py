"""The head that rests on the first token: an attention sink."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "first_token"]


def first_token(evidence: Evidence) -> Scores:
    """mean_i A[i, 0] on random tokens."""
    return Scores(evidence.random_tokens.first)


ROLE = Role(
    name="first token",
    does="rests on the first token (an attention sink)",
    evidence="random tokens",
    measure=first_token,
    definition="mean attention to the very first token, on random tokens",
    source="Gu et al. 2024, When attention sink emerges (arXiv 2410.10781), section 3",
    cut=0.3,
)
