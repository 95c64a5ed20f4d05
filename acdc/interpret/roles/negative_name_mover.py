"""The negative name mover: from the target it reads the right answer, and writes against it."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles.name_mover import CUT, direct_drop
from acdc.interpret.roles.role import Role, Scores
from acdc.interpret.tested import Tested, falls

__all__ = ["ROLE", "negative_name_mover"]


def negative_name_mover(evidence: Evidence) -> Scores:
    """A name mover's score with the opposite sign."""
    return Scores(-evidence.answers.copies)


def writes_against_it(evidence: Evidence, head: str) -> Tested:
    """Without its direct effect the right answer gains."""
    return falls(
        "its edge to the logits carries the corrupted prompt's output",
        "the logit difference rises",
        -direct_drop(evidence, head),
    )


ROLE = Role(
    name="negative name mover",
    does="reads the right answer where it stands in the prompt, and writes against it",
    evidence="task prompts",
    measure=negative_name_mover,
    definition="minus the name mover's score",
    source="Wang et al. 2022 (arXiv 2211.00593), section 3.4; McDougall et al. 2023 (arXiv 2310.04625)",
    cut=CUT,
    cut_source="ours: the paper ranks heads",
    test=writes_against_it,
)
