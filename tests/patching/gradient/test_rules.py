"""Backward rules are derivatives of a surrogate, in every family; they are derivatives where they change nothing; and
relevance is conserved where it should be."""

import dataclasses
import functools

import pytest
import torch

from acdc.discovery.attribution.eap import at_clean, eap
from acdc.discovery.attribution.hisp import hisp
from acdc.discovery.attribution.nap import nap
from acdc.discovery.attribution.nodes import lift
from acdc.errors import ModelError, UnknownNameError
from acdc.models import PatchableModel
from acdc.patching.gradient.attribution import edge_effects, node_effects
from acdc.patching.gradient.rules import DERIVATIVES, RULES, Rules
from acdc.patching.problem import Problem
from tests.configs import ONE_EACH
from tests.patching.gradient.surrogate import surrogate, surrogate_head
from tests.soft import shift_gradient
from tests.tiny import KeepDouble, tiny_batch, tiny_model

UNKNOWN = {("gpt-oss", "relp"), ("gpt-oss", "attnrlp")}  # an activation that is no module
KNOWN = [(family, name) for family in ONE_EACH for name in RULES if (family, name) not in UNKNOWN]
PATTERNS_HELD = Rules(frozen_norms=True, secants=True, products=0.5, qk=0.0)


@functools.cache
def problem_of(family: str) -> Problem:
    with KeepDouble():
        return Problem.make(tiny_model(family), tiny_batch(), metric="logit_diff", seed=5)


def by_surrogate(problem: Problem, rules: Rules) -> torch.Tensor:
    ruled = dataclasses.replace(problem, model=surrogate(problem.model, rules))
    return shift_gradient(ruled, head=surrogate_head(rules))


@pytest.mark.parametrize(("family", "name"), KNOWN)
def test_they_are_the_derivative_of_a_surrogate(family: str, name: str) -> None:
    problem, rules = problem_of(family), RULES[name]
    edges = problem.model.graph.edges_mask
    with KeepDouble():
        found, expected = edge_effects(problem, at_clean, rules=rules).sum(0), by_surrogate(problem, rules)
        plain = edge_effects(problem, at_clean).sum(0)
    torch.testing.assert_close(found[edges], expected[edges], atol=1e-10, rtol=1e-9)
    assert float((found - plain)[edges].abs().max()) > 1e-3, "tests little"


@pytest.mark.parametrize(("family", "name"), [("gpt2", "attnrlp"), ("llama-gqa", "gim"), ("gemma2", "relp")])
def test_memory_changes_nothing(family: str, name: str) -> None:
    problem = problem_of(family)
    little, much = (edge_effects(problem, at_clean, rules=RULES[name], memory=m).sum(0) for m in (1, 2**28))
    torch.testing.assert_close(little, much, atol=1e-5, rtol=0, equal_nan=True)


@pytest.mark.parametrize("name", RULES)
def test_long_prompts_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those for which torch's fused attention is taken where a rule doesn't need the pattern."""
    problem = problem_of("llama-gqa")
    short = eap(problem, rules=name).scores
    monkeypatch.setattr("acdc.patching.attention.LONG", 1)
    torch.testing.assert_close(eap(problem, rules=name).scores, short, atol=1e-12, rtol=0, equal_nan=True)


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "gemma2", "olmo2", "mixtral", "neox-parallel"])
def test_rules_that_change_nothing_are_derivatives_bit_for_bit(family: str) -> None:
    problem = problem_of(family)
    assert Rules(temperature=1.0, qk=1.0, v=1.0, products=1.0) == DERIVATIVES
    found, plain = edge_effects(problem, at_clean, rules=Rules()), eap(problem).scores
    assert torch.equal(found.sum(0).nan_to_num(), plain.nan_to_num())


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "gemma2"])
def test_each_rule_s_code_at_its_neutral_value_gives_derivatives(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temperature of 1 and a share of 1, by the code that another value would take."""
    from acdc.patching.gradient import rules
    from acdc.patching.gradient.mlp_rules import ruled_mlp
    from acdc.patching.gradient.softmax_rules import at_temperature

    def by_all_code(self: Rules, block: object, dtype: torch.dtype) -> object:
        attention = dataclasses.replace(block.attention, softmax=at_temperature(1.0))
        return dataclasses.replace(block, attention=attention, mlp=ruled_mlp(block.mlp, secants=False, products=1.0))

    problem = problem_of(family)
    plain = eap(problem).scores
    monkeypatch.setattr(rules.Rules, "block", by_all_code)
    torch.testing.assert_close(eap(problem).scores, plain, atol=1e-12, rtol=0, equal_nan=True)


# -- conservation


def without_biases(family: str) -> PatchableModel:
    model = tiny_model(family)
    for name, parameter in model.hf.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    return model


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama", "llama-gqa", "qwen3", "phi3", "olmo2", "gemma3"])
@pytest.mark.parametrize("rules", [RULES["attnrlp"], PATTERNS_HELD], ids=["attnrlp", "patterns held"])
def test_relevance_is_conserved_over_every_cut(family: str, rules: Rules) -> None:
    """Against zeros, what crosses from the sources below a block to the destinations above is all of the metric."""
    with KeepDouble():
        problem = Problem.make(without_biases(family), tiny_batch(), metric="logit_diff", ablation="zero")
        scores = edge_effects(problem, at_clean, rules=rules).sum(0)
    graph, metric = problem.model.graph, -problem.model_loss
    for layer in range(graph.n_layers):
        above = scores[: graph.head_src(layer), graph.head_dst(layer, "q") :]
        assert float(above.nansum()) == pytest.approx(metric, abs=1e-9)
    assert float(scores[:, -1].nansum()) == pytest.approx(metric, abs=1e-9), "what the logits read"


def test_relp_gives_q_and_k_what_comes_on_top() -> None:
    """In the last layer v, the MLP and the logits get what they get with patterns held, and so all of the metric."""
    problem = Problem.make(without_biases("llama"), tiny_batch(), metric="logit_diff", ablation="zero")
    graph = problem.model.graph
    free, held = (edge_effects(problem, at_clean, rules=rules).sum(0) for rules in (RULES["relp"], PATTERNS_HELD))
    last = graph.n_layers - 1
    q, v = graph.head_dst(last, "q"), graph.head_dst(last, "v")
    torch.testing.assert_close(free[:, v:], held[:, v:], equal_nan=True)
    assert bool((held[: graph.head_src(last), q:v] == 0).all())
    assert float(free[: graph.head_src(last), q:v].abs().max()) > 1e-3


# -- what scorers make of them


@pytest.mark.parametrize("name", RULES)
def test_scorers_take_them_by_name(name: str) -> None:
    problem = problem_of("llama-gqa")
    graph, rules = problem.model.graph, RULES[name]
    edges = edge_effects(problem, at_clean, rules=rules).sum(0)
    torch.testing.assert_close(eap(problem, rules=name).scores, edges, equal_nan=True)
    nodes = node_effects(problem, at_clean, rules=rules)
    torch.testing.assert_close(nodes.mean(0), edges.nansum(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(nap(problem, rules=name).scores, lift(graph, nodes.mean(0)), equal_nan=True)
    found = hisp(problem, times="change", rules=name).scores
    torch.testing.assert_close(found, lift(graph, nodes.abs().mean(0)), equal_nan=True)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'relp'"):
        eap(problem_of("gpt2"), rules="rlp")


@pytest.mark.parametrize("name", ["relp", "attnrlp"])
def test_an_mlp_that_they_do_not_know_is_named(name: str) -> None:
    with pytest.raises(ModelError, match="inside the MLP GptOssExperts; known are two projections"):
        eap(problem_of("gpt-oss"), rules=name)


def test_a_norm_that_they_do_not_know_is_named() -> None:
    class RootedNorm(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()

    model = tiny_model("llama")
    model.components = dataclasses.replace(model.components, ln_final=RootedNorm())
    problem = Problem.make(model, tiny_batch(), metric="logit_diff")
    with pytest.raises(ModelError, match="scale of the norm RootedNorm constant"):
        eap(problem, rules="relp")


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("family", ["gpt2", "llama-gqa"])
def test_narrow_weights_give_nearly_the_same(family: str, name: str) -> None:
    exact = eap(problem_of(family), rules=name).scores.nan_to_num()
    model = tiny_model(family, dtype=torch.bfloat16)
    problem = Problem.make(model, tiny_batch(), metric="logit_diff")
    found = eap(problem, rules=name).scores
    assert bool(found[model.graph.edges_mask].isfinite().all())
    alike = torch.nn.functional.cosine_similarity(found.nan_to_num().flatten(), exact.flatten(), 0)
    assert float(alike) > 0.9


def test_the_model_stays_as_it_is() -> None:
    problem = problem_of("mixtral")
    modules = dict(problem.model.hf.named_modules())
    before = {name: parameter.clone() for name, parameter in problem.model.hf.named_parameters()}
    plain = eap(problem).scores
    for name in RULES:
        eap(problem, rules=name)
    assert dict(problem.model.hf.named_modules()) == modules
    assert all(torch.equal(before[name], p) for name, p in problem.model.hf.named_parameters())
    assert torch.equal(eap(problem).scores.nan_to_num(), plain.nan_to_num())
