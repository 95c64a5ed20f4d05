"""Head roles of models whose heads are known by construction."""

import functools

import pytest
import torch

from acdc.interpret.evidence import Evidence
from acdc.interpret.roles import ROLES
from acdc.models import PatchableModel
from tests.tiny import tiny_model


@functools.cache
def evidence_of(name: str, dtype: str = "float32") -> Evidence:
    return Evidence(PatchableModel.from_pretrained(name, dtype=dtype))


def scores_of(model: str, role: str) -> dict[str, float]:
    """By head."""
    values = ROLES[role].measure(evidence_of(model)).values
    return {f"a{i}.h{j}": float(x) for i, row in enumerate(values) for j, x in enumerate(row)}


TRUTH = {  # of what is compiled into it, see training/compile_induction.py
    "previous token": {"a0.h2", "a1.h3"},
    "induction": {"a1.h1"},
}


@pytest.mark.parametrize("role", TRUTH)
def test_the_compiled_induction_model_has_the_roles_it_was_given(role: str) -> None:
    for head, score in scores_of("induction-compiled", role).items():
        if head in TRUTH[role]:
            assert score == pytest.approx(1, abs=1e-4)
        else:
            assert score < ROLES[role].cut / 2, head


def uniform() -> Evidence:
    """A model that attends to all earlier tokens alike."""
    model = tiny_model("gpt2")
    with torch.no_grad():
        for layer in model.hf.transformer.h:
            layer.attn.c_attn.weight[:, : model.graph.d_model] = 0
            layer.attn.c_attn.bias[: model.graph.d_model] = 0
    return Evidence(model)


def test_uniform_attention_scores_the_mean_share_of_one_token() -> None:
    evidence = uniform()
    drawn = evidence.random_tokens.drawn
    fresh, repeated = (sum(1 / (i + 1) for i in rows) / len(rows) for rows in (drawn.fresh, drawn.repeated))
    assert drawn.start == 0 and drawn.half == 16 and list(drawn.fresh) == list(range(1, 16))
    for role, expected in (("previous token", fresh), ("induction", repeated)):
        values = ROLES[role].measure(evidence).values
        torch.testing.assert_close(values, torch.full_like(values, expected), atol=1e-12, rtol=0)
