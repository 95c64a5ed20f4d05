"""The induction head: after a token that came before, it reads what followed it then."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.knockout import repeated_log_probability, unread
from acdc.interpret.roles.role import Role, Scores
from acdc.interpret.tested import Tested, falls

__all__ = ["ROLE", "induction"]


def induction(evidence: Evidence) -> Scores:
    """mean_i A[i, i - (T - 1)] over the second half of T random tokens that come twice."""
    return Scores(evidence.random_tokens.induction)


def copies_less(evidence: Evidence, head: str) -> Tested:
    """Without what it reads after the earlier copy, repeated tokens become less probable."""
    drawn, model = evidence.drawn, evidence.model
    without = repeated_log_probability(model, drawn, unread(model, head, drawn.repeated, drawn.half - 1))
    return falls(
        "its attention to the token after the earlier copy is set to 0, on random tokens that come twice",
        "the repeated tokens' mean log-probability falls (nats)",
        evidence.repeated_log_probability - without,
    )


ROLE = Role(
    name="induction",
    does="looks at what followed the current token's earlier occurrence",
    evidence="random tokens",
    measure=induction,
    definition="mean attention to the token after the earlier copy, on random tokens that come twice",
    source="Olsson et al. 2022, In-context learning and induction heads (arXiv 2209.11895): prefix matching",
    cut=0.4,
    test=copies_less,
)
