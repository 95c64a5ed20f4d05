"""The copying head: by its weights, a token that it reads it raises in the logits."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "copying"]


def copying(evidence: Evidence) -> Scores:
    """Σ λ / Σ |λ| of `W_E W_OV W_U`, in [-1, 1]."""
    return Scores(evidence.value_circuits.copying)


ROLE = Role(
    name="copying",
    does="raises the logits of the tokens that it reads, by its weights",
    evidence="weights",
    measure=copying,
    definition="sum of the eigenvalues of W_E W_V W_O W_U over the sum of their sizes",
    source="Elhage et al. 2021, A mathematical framework for transformer circuits, section 'Copying'",
    cut=0.5,
)
