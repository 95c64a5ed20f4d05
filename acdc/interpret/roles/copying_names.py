"""The head that copies names: of what it would write having read a name, that name is among the first."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "copying_names"]


def copying_names(evidence: Evidence) -> Scores:
    """Share of names t in the top 5 of `norm(MLP0(x_t) W_OV) W_U`."""
    return Scores(evidence.names_in_top[0])


ROLE = Role(
    name="copying names",
    does="writes the name that it reads, by its weights",
    evidence="weights",
    measure=copying_names,
    definition="share of first names that are among the 5 highest logits if the head alone wrote, having read them",
    source="Wang et al. 2022 (arXiv 2211.00593), section 3.1: the copy score",
    cut=0.95,
)
