"""Head roles of models whose heads are known by construction."""

import functools
from dataclasses import replace

import pytest
import torch

from acdc.interpret.attention_pass import LayerAttention, attention_pass
from acdc.interpret.claims import claims
from acdc.interpret.evidence import Evidence
from acdc.interpret.head_roles import head_roles
from acdc.interpret.roles import ROLES
from acdc.interpret.roles.s_inhibition import patched_looks
from acdc.models import PatchableModel
from acdc.patching.attention import head_results, project_layer
from acdc.patching.layout import Layout
from acdc.patching.pattern import head_patterns
from acdc.patching.problem import Problem
from acdc.task import load_task
from tests.tiny import KeepDouble, tiny_batch, tiny_model


@functools.cache
def evidence_of(name: str, dtype: str = "float32") -> Evidence:
    return Evidence(PatchableModel.from_pretrained(name, dtype=dtype))


def scores_of(model: str, role: str) -> dict[str, float]:
    """By head."""
    values = ROLES[role].measure(evidence_of(model)).values
    return {f"a{i}.h{j}": float(x) for i, row in enumerate(values) for j, x in enumerate(row)}


TRUTH = {  # of what is compiled into it, see training/compile_induction.py
    "previous token": {"a0.h2", "a1.h3"},
    "position": {"a0.h1"},
    "current token": {"a0.h0", "a1.h0", "a1.h2"},
    "induction": {"a1.h1"},
    "induction with copying": {"a1.h1"},
}


@pytest.mark.parametrize("role", TRUTH)
def test_the_compiled_induction_model_has_the_roles_it_was_given(role: str) -> None:
    for head, score in scores_of("induction-compiled", role).items():
        if head in TRUTH[role]:
            assert score == pytest.approx(1, abs=1e-4)
        else:
            assert score < 0.25, head  # one that finds nothing to match looks at all tokens alike


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


def test_an_ablated_induction_head_and_the_head_that_feeds_it_fail_as_predicted_and_others_change_nothing() -> None:
    evidence = Evidence(evidence_of("induction-compiled").model, seed=1)
    for role, head, others in (("induction", "a1.h1", ["a1.h0", "a0.h2"]), ("previous token", "a0.h2", ["a1.h3"])):
        test = ROLES[role].test
        assert test is not None
        found = test(evidence, head)
        assert found.holds and found.measured.value is not None and found.measured.value > 3
        for other in others:
            assert not test(evidence, other).holds


def test_a_context_that_is_too_short_is_told_and_scored_by_nothing() -> None:
    model = PatchableModel.from_pretrained("induction-compiled")
    model.hf.config.n_positions = 8
    found = head_roles(model)
    assert "a context of 10 tokens" in found.reasons["induction"] and "induction" not in found.scores
    assert found.strongest("induction") == [] and "induction" not in found.frame()


def test_the_suppression_model_s_answer_is_moved_by_one_head_and_worked_against_by_another() -> None:
    model = PatchableModel.from_pretrained("suppression-compiled")
    task = load_task("suppression")
    batch, held_out = (task.batch(model.tokenizer, 12, 0, held_out=side) for side in (False, True))
    found, again = head_roles(model, batch), head_roles(model, held_out, seed=1)
    assert [head for head, each in found.strongest("name mover") if each.holds] == ["a1.h2"]
    assert [head for head, each in found.strongest("negative name mover") if each.holds] == ["a2.h1"]
    assert not any(each.holds for _, each in found.strongest("backup name mover"))
    assert "don't stand in its prompts" in found.reasons["S-inhibition"]
    for head, role in (("a1.h2", "name mover"), ("a2.h1", "negative name mover")):
        claim = next(
            each
            for each in claims(head, found, held_out=again, evidence=Evidence(model, held_out, 1))
            if each.role == role
        )
        assert claim.holds and claim.held_out == pytest.approx(claim.score, rel=0.1)
        assert "logit difference" in claim.predicted and claim.measured is not None


def test_without_a_task_its_roles_are_not_measured() -> None:
    found = head_roles(PatchableModel.from_pretrained("induction-compiled"), roles=["name mover", "S-inhibition"])
    assert set(found.reasons.values()) == {"no task was given"} and not found.scores


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "gemma2", "cohere-norms", "olmo2", "gpt-oss", "bloom"])
def test_a_head_patched_into_the_movers_queries_is_patched_there_alone(family: str) -> None:
    """By the slow way: the edges from one head into the movers' queries are removed from the whole model."""
    model, batch = tiny_model(family, seed=1), tiny_batch(n=6)
    rows = torch.arange(batch.n)
    answers = replace(batch, correct=batch.clean[rows, -2:-1], wrong=batch.clean[rows, -4:-3])
    with KeepDouble():
        evidence = Evidence(model, answers)
        layer = model.graph.n_layers - 1
        looks = _patched_looks_of(evidence, layer, [0, 1])
        problem = Problem.make(model, evidence.answers.batch)
        for h in range(model.graph.n_heads):
            for m, mover in enumerate((0, 1)):
                expected = _looks_without(problem, model.graph.head_src(layer - 1, h), mover)
                torch.testing.assert_close(looks[m, layer - 1, h], expected, atol=1e-9, rtol=0)


def _patched_looks_of(evidence: Evidence, layer: int, heads: list[int]) -> torch.Tensor:
    found = []

    def visit(here: LayerAttention) -> None:
        if here.layer == layer:
            found.append(patched_looks(evidence, here, heads))

    attention_pass(evidence.model, evidence.answers.batch, evidence.answers.batch.clean, visit)
    return found[0]


def _looks_without(problem: Problem, src: int, mover: int) -> torch.Tensor:
    """The last layer's attention from the target where a head's query reads one source of the corrupted run."""
    model, batch = problem.model, problem.batch
    block, layout = model.components.blocks[-1], Layout(batch, model.dtype)
    graph, attention = model.graph, block.attention
    layer, h = divmod(src - 1, graph.n_heads + 1)
    z = (problem.ablated.outputs.z[layer] - problem.clean.outputs.z[layer])[h]
    x = problem.clean.resid_pre[-1]
    q_input = x + head_results(model.components.blocks[layer].attention, z[None], [h])[0]
    tables = layout.rotary(attention)
    q = project_layer(attention, "q", block.ln1(q_input), tables)[mover, None, None]
    k = project_layer(attention, "k", block.ln1(x), tables).repeat_interleave(attention.group, 0)[mover, None, None]
    return head_patterns(attention, [mover], q, k, layout.bias_of(attention, [mover]))[0, 0, :, -1]


def with_value_circuit(sign: float) -> PatchableModel:
    """A model whose heads write what they read, or its opposite, and whose unembedding is its embedding."""
    model = tiny_model("llama")
    d_model = model.graph.d_model
    with torch.no_grad():
        for layer in model.hf.model.layers:
            layer.self_attn.v_proj.weight.copy_(torch.eye(d_model))
            layer.self_attn.o_proj.weight.copy_(sign * torch.eye(d_model))
            layer.input_layernorm.weight.fill_(1)
        model.hf.model.norm.weight.fill_(1)
        model.hf.lm_head.weight.copy_(model.hf.get_input_embeddings().weight)
    return model


@pytest.mark.parametrize(
    ("sign", "role", "other"), [(1, "copying", "negative copying"), (-1, "negative copying", "copying")]
)
def test_identity_copies_and_minus_identity_does_the_opposite(sign: float, role: str, other: str) -> None:
    evidence = Evidence(with_value_circuit(sign))
    one = torch.ones(2, 4, dtype=torch.float64)
    torch.testing.assert_close(ROLES[role].measure(evidence).values, one, atol=1e-9, rtol=0)
    torch.testing.assert_close(ROLES[other].measure(evidence).values, -one, atol=1e-9, rtol=0)


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "gemma2", "cohere", "granite"])
def test_the_copying_score_is_that_of_the_vocabulary_square_matrix(family: str) -> None:
    """The slow way: all tokens' logits from all tokens, by the norms' own modules on tokens of size 1."""
    model = tiny_model(family)
    parts, scores = model.components, ROLES["copying"].measure(Evidence(model)).values
    circuits = Evidence(model).value_circuits
    embedded = circuits.embedded(torch.arange(len(parts.unembed)))
    with KeepDouble(), torch.no_grad():
        for layer, block in enumerate(parts.blocks):
            attention = block.attention
            gain = 1.0 if attention.gain is None else attention.gain
            for h in range(attention.n_heads):
                W_OV = attention.W_V[h // attention.group] @ attention.W_O[h] * gain
                read = linear(block.ln1, embedded) @ W_OV
                full = linear(parts.ln_final, read) @ (parts.unembed - parts.unembed.mean(0)).T
                values = torch.linalg.eigvals(full)
                expected = values.real.sum() / values.abs().sum()
                assert float(scores[layer, h]) == pytest.approx(float(expected), abs=1e-7)


def linear(norm: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What a norm does beside dividing by its token's size and adding a constant."""
    centred = x - x.mean(-1, keepdim=True)
    is_centring = torch.allclose(norm(x + 1), norm(x))
    size = (centred if is_centring else x).square().mean(-1, keepdim=True).sqrt()
    return (norm(1e4 * x) - norm(torch.zeros_like(x))) * size
