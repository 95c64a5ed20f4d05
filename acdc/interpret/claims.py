"""What is claimed of a head: its roles, each with a score that didn't choose it, and tested by what it predicts."""

from acdc.interpret.evidence import Evidence
from acdc.interpret.explanation import Claim
from acdc.interpret.head_names import place_of
from acdc.interpret.head_roles import HeadRoles
from acdc.interpret.roles import ROLES
from acdc.interpret.unmeasured import Unmeasured

__all__ = ["claims"]


def claims(
    head: str, found: HeadRoles, *, held_out: HeadRoles | None = None, evidence: Evidence | None = None
) -> list[Claim]:
    """The roles that a head has, the strongest first.

    Args:
        found: What chose the roles.
        held_out: The same measured on other prompts and another seed; scores of weights are of no prompts.
        evidence: What the tests are made on: other prompts and another seed too. Without, none is made.
    """
    made = []
    for each in found.held(head):
        claim = Claim(role=each.role, score=each.score, cut=each.cut)
        if held_out is not None and each.role in held_out.scores and ROLES[each.role].evidence != "weights":
            again = next(other for other in held_out.of(head) if other.role == each.role)
            claim = claim.model_copy(update={"held_out": again.score})
        test = ROLES[each.role].test
        if evidence is not None and test is not None:
            place_of(evidence.model, head)
            try:
                outcome = test(evidence, head)
                claim = claim.model_copy(update=vars(outcome))
            except Unmeasured as error:
                claim = claim.model_copy(update={"test": f"not tested: {error}"})
        made.append(claim)
    return made
