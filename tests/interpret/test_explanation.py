"""The file of an explanation: what is written is read back, and what can't stand in JSON is refused."""

import json

import pytest
from pydantic import ValidationError

from acdc.interpret.explanation import Claim, Estimate, Explanation, NodeCard, PatchingMap


def test_what_is_written_is_read_back() -> None:
    card = NodeCard(name="a0.h1", kind="head", layer=0, claims=[Claim(role="induction", score=0.9, cut=0.4)])
    grid = PatchingMap(
        direction="noising",
        site="resid_pre",
        metric="kl",
        rows=["0"],
        columns=["</script>"],
        values=[[None]],
        clean=0.0,
        corrupt=1.0,
        n_prompts=3,
    )
    explained = Explanation(made_with="acdc 0", circuit="0" * 64, nodes=[card], maps=[grid])
    assert Explanation.model_validate(json.loads(explained.model_dump_json()), strict=False) == explained


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValidationError):
        Estimate(value=float("nan"))


def test_a_role_whose_test_held_is_told_before_a_stronger_one_without_and_one_that_failed_last() -> None:
    told = {"retrieval": False, "first token": None, "induction": True, "syntax": None, "copying": True}
    card = NodeCard(
        name="a1.h0", kind="head", layer=1, claims=[Claim(role=r, score=1.0, holds=h) for r, h in told.items()]
    )
    ranked = [claim.role for claim in card.ranked_claims]
    assert ranked == ["induction", "copying", "first token", "syntax", "retrieval"]
    assert [claim.role for claim in card.claims] == list(told)
