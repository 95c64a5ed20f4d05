"""An explanation's words say what the numbers say: nothing is called certain that isn't."""

from typing import Any

import pytest

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.interpret.draft import card, empty, together
from acdc.interpret.explanation import Claim, Estimate, Explanation
from acdc.interpret.telling import sentence, told

GRAPH = Graph(n_layers=1, n_heads=2, d_model=8)
CIRCUIT = Circuit.from_edges(GRAPH, ["input->a0.h1<v>", "a0.h1->logits"])
RATIO = {"value": 0.9, "low": 0.8, "high": 0.95, "no_meaning": None, "under_covers": False}


def words(found: Explanation, circuit: Circuit = CIRCUIT) -> Explanation:
    return told(found, circuit, task="echo", summary="says it again", model="tiny")


def faithful(**changed: Any) -> Explanation:
    return empty(extra={"faithfulness": {"kl": RATIO | changed}, "prompts": "9 held-out prompts"}, held_out=True)


@pytest.mark.parametrize(
    "effect, said",
    [
        (Estimate(value=2.0, low=1.5, high=2.5), "it raises the loss by 2 [1.5, 2.5], 20% of what"),
        (Estimate(value=-2.0, low=-2.5, high=-1.5), "it lowers the loss by 2 [1.5, 2.5], 20% of what"),
        (Estimate(value=2.0, low=-0.1, high=4.0), "which may be nothing"),
        (Estimate(value=2.0), "it changes the loss by 2."),  # one prompt: nothing is known of others
        (Estimate(value=1e-5, low=1e-6, high=2e-5), "next to nothing"),  # for certain, but what of it
    ],
)
def test_an_effect_is_as_clear_as_its_interval(effect: Estimate, said: str) -> None:
    assert said in sentence(card(GRAPH, "a0.h1", effect=effect), span=10.0)


def test_what_a_node_writes_has_its_sign_in_words_alone() -> None:
    direct = Estimate(value=-0.5, low=-0.75, high=-0.25)
    assert "it writes 0.5 [0.25, 0.75] directly against the answer" in sentence(card(GRAPH, "a0.h1", direct=direct))
    turned = direct.model_copy(update={"value": 0.5, "low": 0.25, "high": 0.75})
    assert "it writes 0.5 [0.25, 0.75] directly towards" in sentence(card(GRAPH, "a0.h1", direct=turned))


@pytest.mark.parametrize(
    "holds, said",
    [
        (True, "Induction (tested by intervention)."),
        (False, "Scores as induction, but the test by intervention fails."),
        (None, "Looks like induction (not tested)."),
    ],
)
def test_a_role_is_said_with_what_became_of_its_test(holds: bool | None, said: str) -> None:
    claims = [Claim(role="induction", score=0.9, cut=0.4, holds=holds)]
    assert sentence(card(GRAPH, "a0.h1", claims=claims)) == said
    assert sentence(card(GRAPH, "a0.h1", role_scores={"induction": 0.1})) == "Head without a known role."
    assert sentence(card(GRAPH, "a0.h1")) == "Head." and sentence(card(GRAPH, "m0")) == "MLP."


def test_the_answer_holds_edges_and_faithfulness_and_who_matters() -> None:
    cards = [card(GRAPH, "a0.h1", effect=Estimate(value=2.0, low=1.5, high=2.5))]
    found = words(together(faithful(), empty(nodes=cards)))
    assert found.answer.startswith("By 2 of 13 edges, between 3 nodes, which keep 0.9 [0.8, 0.95] of kl on 9 held-out")
    assert found.answer.endswith("Most depends on a0.h1.")
    assert found.certain[0] == "On 9 held-out prompts the circuit keeps 0.9 [0.8, 0.95] of kl."
    assert not found.uncertain


def test_what_has_no_meaning_or_was_not_held_out_is_not_certain() -> None:
    found = words(faithful(no_meaning="model and corrupted run differ by 0, which is rounding"))
    assert not found.certain and "which is rounding" in found.uncertain[0]
    assert "0.9 (no meaning)" in found.answer
    assert "few prompts" in words(faithful(under_covers=True)).uncertain[0]
    assert "aren't known to be held out" in words(empty()).uncertain[0]


def test_an_empty_circuit_is_said_to_be_empty() -> None:
    nothing = Circuit.from_edges(GRAPH, [])
    assert words(faithful(), nothing).answer == "By nothing: the circuit has no edge."


def test_cards_are_joined_and_lists_put_one_after_the_other() -> None:
    one = empty(nodes=[card(GRAPH, "m0", effect=Estimate(value=1.0))], notes=["a"], extra={"x": 1})
    two = empty(
        nodes=[card(GRAPH, "m0", direct=Estimate(value=2.0)), card(GRAPH, "a0.h0")], notes=["b"], extra={"y": 2}
    )
    both = together(one, two)
    assert [each.name for each in both.nodes] == ["m0", "a0.h0"]
    twice = empty(nodes=[card(GRAPH, "m0", reads=[("x", 1.0)]), card(GRAPH, "m0", writes_up=[("y", 2.0)])])
    (whole,) = together(twice, empty()).nodes
    assert whole.reads and whole.writes_up, "several cards of one node in one section"
    assert both.nodes[0].effect is not None and both.nodes[0].direct is not None
    assert both.notes == ["a", "b"] and both.extra == {"x": 1, "y": 2}
