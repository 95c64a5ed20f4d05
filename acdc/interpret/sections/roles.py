"""What roles heads have: chosen on the discovery prompts, measured again and tested by intervention on held-out."""

from acdc.interpret.claims import claims
from acdc.interpret.draft import card, empty, number
from acdc.interpret.evidence import Evidence
from acdc.interpret.explanation import Explanation, NodeCard
from acdc.interpret.head_roles import HeadRoles, head_roles
from acdc.interpret.roles import ROLES
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject

__all__ = ["SECTION"]

RUNS, TEST = 16.0, 2.0  # forward passes of all roles' scores, and of one head's tests


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """Of the important heads; random tokens are drawn anew for the test too."""
    model, batch, seed = subject.problem.model, subject.problem.batch, subject.settings.seed
    found = head_roles(model, subject.discovery.batch, seed=seed, progress=subject.tell)
    again = head_roles(model, batch, roles=_again(found, subject.heads), seed=seed + 1, progress=subject.tell)
    evidence, cards = Evidence(model, batch, seed + 1), list[NodeCard]()
    for done, head in enumerate(subject.heads, 1):
        scores = {each.role: number(each.score) for each in found.of(head)}
        held = claims(head, found, held_out=again, evidence=evidence)
        cards.append(card(model.graph, head, claims=held, role_scores=scores))
        subject.step(done, len(subject.heads))
    return empty(nodes=cards, notes=_unmeasured(found))


def _again(found: HeadRoles, heads: list[str]) -> list[str]:
    """The roles that a head has by something drawn: weights are the same another time."""
    held = dict.fromkeys(each.role for head in heads for each in found.held(head))
    return [role for role in held if ROLES[role].evidence != "weights"]


def _unmeasured(found: HeadRoles) -> list[str]:
    return [f"role {role!r} can't be measured here: {reason}" for role, reason in found.reasons.items()]


def cost(subject: Subject) -> float:
    """The scores, and tests of each head."""
    return RUNS + TEST * len(subject.heads)


SECTION = Section("roles", "which roles heads have, and which hold under intervention", 50, measure, cost, brief=True)
