"""On compiled and planted models an explanation names the roles that are known by construction, and no others hold."""

import pytest

import acdc
from acdc.interpret.explanation import Explanation

SECTIONS = ("faithfulness", "effects", "direct", "attention", "roles", "agreement")


def explanation_of(model: str, task: str) -> Explanation:
    found = acdc.discover(model, task, n=12, out=None)
    return acdc.explain(found.circuit, only=SECTIONS, n=16, nodes=10).explanation


def held(found: Explanation) -> dict[str, set[str]]:
    """The roles of each node that held under intervention on held-out prompts."""
    return {card.name: {claim.role for claim in card.claims if claim.holds} for card in found.nodes}


@pytest.mark.parametrize(
    "model, task, previous, induction",
    [("induction-compiled", "induction", "a0.h2", "a1.h1"), ("recall-planted", "recall", "a0.h1", "a1.h2")],
)
def test_the_two_heads_of_induction_are_named_and_hold(model: str, task: str, previous: str, induction: str) -> None:
    found = explanation_of(model, task)
    roles = held(found)
    assert found.held_out and set(roles) == {previous, induction}
    assert roles[previous] == {"previous token"}
    assert roles[induction] >= {"induction", "name mover"}
    assert found.nodes[0].name == induction and "(tested by intervention)" in found.nodes[0].sentence
    assert f"{previous} is previous token" in " ".join(found.certain)
    cards = {card.name: card for card in found.nodes}
    assert cards[induction].direct.low > 0 and cards[induction].attends[0][0] == "B"
    assert abs(cards[previous].direct.value) < 0.1 * cards[induction].direct.value, "it writes to the other head alone"


def test_a_head_that_looks_back_for_another_reason_fails_the_test_of_its_role() -> None:
    """`either-compiled`'s first head looks one token back, but nothing that copies reads what it writes."""
    found = explanation_of("either-compiled", "either")
    (claim,) = next(card for card in found.nodes if card.name == "a0.h1").claims
    assert claim.role == "previous token" and claim.score > 0.9 and claim.holds is False
    assert not held(found)["a0.h1"]
    assert "a0.h1 scores as previous token" in " ".join(found.uncertain)
    backup = next(card for card in found.nodes if card.name == "a1.h0")
    assert "next to nothing" in backup.sentence, "one of two that do the same: alone neither is missed"
