"""AtP*: heads that are run again, and gradients without a layer, each as a slow reference has them."""

import pytest
import torch

from acdc.discovery.attribution.atp_star import atp_star
from acdc.discovery.attribution.eap import eap
from acdc.patching.problem import Problem
from tests import configs
from tests.discovery.attribution.problems import assert_same, problem_of
from tests.oracle import ablated_sources, naive_head
from tests.soft import shift_gradient, whole_change
from tests.tiny import tiny_batch, tiny_model

FAMILIES = ("gpt2", "neox-parallel", "llama-gqa", "gemma2", "olmo2")
ALLOWED = {"gpt2": 1e-12, "neox-parallel": 1e-12}  # the RMSNorm of Hugging Face computes in float32
Gradient = dict[str, torch.Tensor]


def head_without(problem: Problem, src: str, layer: int, h: int, kind: str) -> torch.Tensor:
    """The change of what a head writes when an edge into it is removed: the head run again."""
    block, x = problem.model.components.blocks[layer], problem.clean.resid_pre[layer]
    inputs = {each: x + whole_change(problem)[src] if each == kind else x for each in "qkv"}
    without = naive_head(problem.model, problem.batch, layer, h, *(block.ln1(inputs[each]) for each in "qkv"))
    return without - ablated_sources(problem.model, problem.clean.outputs)[f"a{layer}.h{h}"]


def effect_of(problem: Problem, head: str, change: torch.Tensor, frozen: int | None = None) -> float:
    """To first order, the effect of a change of what a head writes."""
    changes = {name: torch.zeros_like(change) for name in problem.model.graph.sources} | {head: change}
    gradient = shift_gradient(problem, change=changes, forced=outputs_of(problem, frozen))
    return float(gradient[problem.model.graph.src_index[head]].sum())


def outputs_of(problem: Problem, layer: int | None) -> Gradient:
    """What a layer writes in the clean run, as constants."""
    clean = ablated_sources(problem.model, problem.clean.outputs)
    graph = problem.model.graph
    return {name: clean[name].detach() for name in graph.sources if layer is not None and graph.layer_of(name) == layer}


def some_edges(problem: Problem) -> list[tuple[str, int, int, str]]:
    """Edges into q and k, from all kinds of sources, in every layer."""
    graph = problem.model.graph
    found = [("input", layer, layer % graph.n_heads, kind) for layer in range(graph.n_layers) for kind in "qk"]
    return [*found, ("a0.h1", 1, 0, "q"), ("m0", 1, 1, "k"), ("m0", graph.n_layers - 1, 0, "q")]


@pytest.mark.parametrize("memory", [1, 2**28])
@pytest.mark.parametrize("family", FAMILIES)
def test_edges_into_q_and_k_are_their_head_run_again(family: str, memory: int) -> None:
    problem = problem_of(family)
    graph, plain = problem.model.graph, eap(problem).scores
    found = atp_star(problem, graddrop=False, memory=memory)
    for src, layer, h, kind in some_edges(problem):
        expected = effect_of(problem, f"a{layer}.h{h}", head_without(problem, src, layer, h, kind))
        edge = graph.src_index[src], graph.dst_index[f"a{layer}.h{h}<{kind}>"]
        assert found.scores[edge].item() == pytest.approx(expected, abs=ALLOWED.get(family, 5e-6)), (
            src,
            layer,
            h,
            kind,
        )
    into_qk = torch.tensor([name.endswith(("<q>", "<k>")) for name in graph.destinations])
    assert_same(found.scores[:, ~into_qk], plain[:, ~into_qk], ALLOWED.get(family, 5e-6))
    assert float((found.scores - plain)[:, into_qk].nan_to_num().abs().max()) > 0.01
    assert found.kind == "estimated effect"


def dropped(problem: Problem) -> torch.Tensor:
    """GradDrop's mean over prompts, and layers left out, of the sizes of effects."""
    graph, total = problem.model.graph, 0.0
    layers = torch.tensor([graph.layer_of(name) for name in graph.destinations])
    for i in range(problem.batch.n):
        alone = Problem.make(problem.model, problem.batch.select([i]), metric=problem.objective.metric)
        for layer in range(graph.n_layers):
            effects = shift_gradient(alone, forced=outputs_of(alone, layer)).abs()
            total = total + effects.masked_fill(layers == layer, 0)
    others = graph.n_layers - (layers < graph.n_layers).double()
    return (total / others / problem.batch.n).masked_fill(~graph.edges_mask, torch.nan)


@pytest.mark.parametrize("memory", [1, 2**28])
@pytest.mark.parametrize("family", FAMILIES[:4])
def test_graddrop_is_the_mean_size_of_effects_without_each_layer(family: str, memory: int) -> None:
    problem = problem_of(family, "nll")
    found = atp_star(problem, qk_fix=False, memory=memory)
    assert_same(found.scores, dropped(problem), ALLOWED.get(family, 5e-6))
    assert found.kind == "importance"


def test_both_together_are_sizes_of_reruns_without_each_layer() -> None:
    problem = problem_of("gpt2")
    graph, found = problem.model.graph, atp_star(problem).scores
    for src, layer, h, kind in some_edges(problem):
        total = 0.0
        for i in range(problem.batch.n):
            alone = Problem.make(problem.model, problem.batch.select([i]), metric="logit_diff")
            change = head_without(alone, src, layer, h, kind)
            others = [other for other in range(graph.n_layers) if other != layer]
            total += sum(abs(effect_of(alone, f"a{layer}.h{h}", change, frozen=other)) for other in others)
        expected = total / (graph.n_layers - 1) / problem.batch.n
        edge = graph.src_index[src], graph.dst_index[f"a{layer}.h{h}<{kind}>"]
        assert found[edge].item() == pytest.approx(expected, abs=1e-12)


def test_neither_is_eap() -> None:
    problem = problem_of("llama-gqa")
    found = atp_star(problem, qk_fix=False, graddrop=False)
    assert_same(found.scores, eap(problem).scores)
    assert found.cost == {"forward_passes": 2, "backward_passes": 1}
    assert atp_star(problem_of("gpt2")).cost == {"forward_passes": 2, "backward_passes": 2, "attention_passes": 8}


def test_with_one_layer_there_is_none_to_leave_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(configs.CONFIGS, "gpt2-shallow", lambda: configs._gpt2(n_layer=1))
    model = tiny_model("gpt2-shallow")
    problem = Problem.make(model, tiny_batch(), metric="logit_diff")
    alone = [Problem.make(model, problem.batch.select([i]), metric="logit_diff") for i in range(problem.batch.n)]
    expected = torch.stack([eap(one).scores.abs() for one in alone]).mean(0)
    assert_same(atp_star(problem, qk_fix=False).scores, expected)


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_every_ablation_can_be_rerun(ablation: str) -> None:
    problem = problem_of("gpt2", ablation=ablation)
    found = atp_star(problem, graddrop=False).scores
    edge = problem.model.graph.src_index["m0"], problem.model.graph.dst_index["a2.h1<k>"]
    expected = effect_of(problem, "a2.h1", head_without(problem, "m0", 2, 1, "k"))
    assert found[edge].item() == pytest.approx(expected, abs=1e-12)
