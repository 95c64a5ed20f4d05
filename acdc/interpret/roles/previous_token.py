"""The previous-token head: it reads the token before."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.knockout import repeated_log_probability, unread
from acdc.interpret.roles.role import Role, Scores
from acdc.interpret.tested import Tested, falls

__all__ = ["ROLE", "previous_token"]


def previous_token(evidence: Evidence) -> Scores:
    """mean_i A[i, i - 1] on random tokens."""
    return Scores(evidence.random_tokens.fresh[..., 1])


def feeds_induction(evidence: Evidence, head: str) -> Tested:
    """Induction heads match what a previous-token head wrote: without it, repeated tokens become less probable."""
    drawn, model = evidence.drawn, evidence.model
    without = repeated_log_probability(model, drawn, unread(model, head, drawn.fresh, 1))
    return falls(
        "its attention to the previous token is set to 0 in the first of two copies of random tokens",
        "induction heads lack what they match: the repeated tokens' mean log-probability falls (nats)",
        evidence.repeated_log_probability - without,
    )


ROLE = Role(
    name="previous token",
    does="looks at the previous token",
    evidence="random tokens",
    measure=previous_token,
    definition="mean attention from each token to the one before, on random tokens",
    source="Elhage et al. 2021, A mathematical framework for transformer circuits; Olsson et al. 2022",
    cut=0.4,
    test=feeds_induction,
)
