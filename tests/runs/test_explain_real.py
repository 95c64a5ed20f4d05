"""On a real language model an explanation of IOI names heads whose roles hold under intervention, held out."""

import pytest

import acdc
from acdc.models.packaged import PACKAGED

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,  # minutes: all heads' roles, and a test for each claim
    pytest.mark.skipif(not PACKAGED["smollm2"].installed, reason=PACKAGED["smollm2"].command),
]


def test_heads_of_ioi_are_named_and_their_roles_hold() -> None:
    task = {"task_options": {"corruption": "s2-io-flip"}, "metric": "logit_diff", "n": 12}
    run = acdc.discover("smollm2", "ioi", method="eap", n_edges=300, out=None, **task)
    said = acdc.explain(run.circuit, only=["effects", "roles"], nodes=16, n=12).explanation
    held = {(card.name, claim.role) for card in said.nodes for claim in card.claims if claim.holds}
    assert said.held_out
    assert {role for _, role in held} >= {"name mover", "S-inhibition"}
    for card in said.nodes:
        for claim in card.claims:
            if claim.holds:
                assert claim.measured is not None and claim.measured.low is not None
                assert claim.held_out is None or claim.cut is None or claim.held_out > claim.cut / 2


def test_the_order_of_the_names_is_read_at_the_subject_and_used_before_it_moves_on() -> None:
    """Encoded is not used: at S2 it can be read for ever, and matters only until the end has taken it over."""
    from acdc.interpret.probes import probe
    from acdc.models import PatchableModel
    from acdc.patching.problem import Problem
    from acdc.task import load_task

    model, task = PatchableModel.from_pretrained("smollm2"), load_task("ioi")
    train, test = task.batch(model.tokenizer, 80, 0), task.batch(model.tokenizer, 24, 0, held_out=True)
    found = probe(train, Problem.make(model, test, metric="logit_diff"), label="order", layers=(8, 19, 22))
    accuracy, causal = found.grid("accuracy"), found.grid("causal")
    s2, end = found.columns.index("S2"), found.columns.index("end")
    assert accuracy[0, s2] < 0.8 < 0.9 < accuracy[1:, s2].min()
    assert causal[1, s2] > 0.15 and abs(causal[2, s2]) < 0.05 < 0.15 < causal[2, end]
