"""Roles of a real language model's heads, confirmed by taking the heads away."""

import random
from dataclasses import replace

import pytest
import torch

from acdc.interpret.attention_pass import LayerAttention
from acdc.interpret.claims import claims
from acdc.interpret.evidence import Evidence
from acdc.interpret.head_names import Head, place_of
from acdc.interpret.head_roles import HeadRoles, head_roles
from acdc.interpret.knockout import repeated_log_probability
from acdc.models import PatchableModel
from acdc.models.packaged import PACKAGED
from acdc.task import load_task

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not PACKAGED["smollm2"].installed, reason=PACKAGED["smollm2"].command),
]
ROLES_OF_TASK = ["name mover", "negative name mover", "S-inhibition"]


@pytest.fixture(scope="module")
def model() -> PatchableModel:
    return PatchableModel.from_pretrained("smollm2")


def held_by(found: HeadRoles, role: str) -> list[str]:
    return [head for head, each in found.strongest(role) if each.holds]


def test_without_its_induction_heads_it_repeats_less_than_without_others(model: PatchableModel) -> None:
    top = [place_of(model, head) for head in held_by(head_roles(model, roles=["induction"]), "induction")[:5]]
    rng, drawn = random.Random(0), Evidence(model, seed=1).drawn
    few = replace(drawn, batch=drawn.batch.select(range(4)))
    others = [(layer, rng.choice([h for h in range(9) if (layer, h) not in top])) for layer, _ in top]

    def without(heads: list[Head]) -> float:
        def visit(here: LayerAttention) -> torch.Tensor:
            z = here.z().clone()
            z[[h for layer, h in heads if layer == here.layer]] = 0
            return z

        return float(repeated_log_probability(model, few, visit).mean())

    whole = without([])
    assert len(top) == 5 and whole - without(top) > 2 + 2 * (whole - without(others))


def test_its_ioi_heads_do_on_held_out_prompts_what_their_roles_predict(model: PatchableModel) -> None:
    task = load_task("ioi", corruption="s2-io-flip")
    batch, held_out = (task.batch(model.tokenizer, 16, 0, held_out=side) for side in (False, True))
    found, evidence = head_roles(model, batch, roles=ROLES_OF_TASK), Evidence(model, held_out, seed=1)
    assert {"a23.h0", "a23.h2"} <= set(held_by(found, "name mover"))
    assert held_by(found, "negative name mover") == ["a24.h4"] and "a20.h0" in held_by(found, "S-inhibition")
    for head in ("a23.h0", "a23.h2", "a24.h4", "a20.h0"):
        assert all(claim.holds for claim in claims(head, found, evidence=evidence))
