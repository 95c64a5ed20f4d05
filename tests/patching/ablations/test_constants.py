"""Ablations to one constant a source: means are means, and optimal constants harm least."""

import pytest
import torch

from acdc.patching.ablations import ABLATIONS, ablate
from acdc.patching.ablations.alone import INPUT, Alone, Rows
from acdc.patching.ablations.constants import from_vector, sizes, to_vector
from acdc.patching.ablations.mean_all import mean_constants
from acdc.patching.ablations.optimal import CHECKPOINTS, Learner
from acdc.patching.activations import NodeOutputs, run
from acdc.patching.masked import masked_logits
from acdc.patching.problem import Problem
from acdc.progress import Progress
from tests.discovery.test_acdc import Memory
from tests.tiny import kept_double, tiny_batch, tiny_model

FAMILIES = ["gpt2", "llama-gqa", "neox-parallel", "olmo2"]


def learner_of(family: str = "gpt2", **settings) -> Learner:
    model, batch = tiny_model(family), tiny_batch()
    return Learner(Alone(model, batch, run(model, batch, batch.clean)), seed=1, **settings)


def tensors(outputs: NodeOutputs) -> list[torch.Tensor]:
    return [outputs.input, *outputs.z, *outputs.mlp]


def without(problem: Problem, source: int) -> float:
    """The loss with all edges of a source removed, and no others."""
    mask = problem.model.graph.edges_mask.clone()
    mask[source] = False
    return problem.loss(problem.logits(mask))


def test_the_mean_over_all_positions_is_that_of_all_real_tokens() -> None:
    model, batch = tiny_model("llama-gqa"), tiny_batch()
    ablated = ablate("mean", model, batch, run(model, batch, batch.clean).outputs)
    corrupted = run(model, batch, batch.corrupt).outputs
    for found, values in zip(tensors(ablated.outputs), tensors(corrupted), strict=True):
        tokens = [
            values[..., row, column, :] for row in range(batch.n) for column in batch.attention[row].nonzero()[:, 0]
        ]
        expected = torch.stack(tokens).mean(0)
        torch.testing.assert_close(found, expected[..., None, None, :].expand_as(found))
    assert not ablated.coherent and ablated.learned is None


def test_both_means_are_one_where_there_is_one_position() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch(lengths=(1,), shared=0)
    clean = run(model, batch, batch.clean).outputs
    both = [ablate(kind, model, batch, clean).outputs for kind in ("mean-all", "mean-positional")]
    for a, b in zip(*map(tensors, both), strict=True):
        torch.testing.assert_close(a, b)


def test_mean_is_the_mean_over_all_positions() -> None:
    assert ABLATIONS.find("mean").name == "mean-all" and "mean" not in ABLATIONS


@pytest.mark.parametrize("family", FAMILIES[:3])
def test_a_source_alone_at_its_optimal_constant_harms_no_more_than_at_its_mean(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    optimal, mean = (Problem.make(model, batch, metric="kl", ablation=kind) for kind in ("optimal", "mean-all"))
    losses = [(without(optimal, s), without(mean, s)) for s in range(model.graph.n_src)]
    assert all(a <= b + 1e-9 for a, b in losses)
    assert sum(a for a, _ in losses) < 0.9 * sum(b for _, b in losses), "and it is worth the training"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_source_alone_is_what_the_masked_forward_removes(family: str) -> None:
    with kept_double(family):
        learner = learner_of(family)
        alone, graph = learner.alone, learner.alone.model.graph
        generator = torch.Generator().manual_seed(2)
        mean = mean_constants(alone.model, alone.batch)
        vector = torch.randn(sum(sizes(mean)), generator=generator, dtype=torch.float64)
        constants = from_vector(vector, mean)
        spread = ablate("optimal", alone.model, alone.batch, alone.clean.outputs, learned=constants)
        prompts, source = torch.arange(alone.batch.n), 0
        for layer in range(INPUT, graph.n_layers):
            logits = alone.logits(Rows.all_of(layer, graph.n_heads, prompts), constants)
            for found in logits.split(alone.batch.n):
                mask = graph.edges_mask.clone()
                mask[source] = False
                expected = masked_logits(alone.model, alone.batch, spread.outputs, mask)
                torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
                source += 1
        assert source == graph.n_src


def test_a_vector_holds_the_sources_in_order() -> None:
    mean = mean_constants(tiny_model("llama-gqa"), tiny_batch())
    again = from_vector(to_vector(mean), mean)
    assert all(torch.equal(a, b) for a, b in zip(tensors(mean), tensors(again), strict=True))
    assert sum(sizes(mean)) == len(to_vector(mean))


@pytest.mark.parametrize("stop", [0, CHECKPOINTS - 2])
def test_a_stopped_training_goes_on_to_the_same_constants(stop: int) -> None:
    whole, stopped = Memory(), Memory(room=stop)
    expected = learner_of().learn(whole)
    with pytest.raises(KeyboardInterrupt):
        learner_of().learn(stopped)
    told: list[Progress] = []
    resumed = Memory()
    resumed.recorded.extend(stopped.written)
    found = learner_of(progress=told.append).learn(resumed)
    assert all(torch.equal(a, b) for a, b in zip(tensors(found), tensors(expected), strict=True)), "bit for bit"
    assert stopped.written + resumed.written == whole.written
    assert told[-1].done == told[-1].total and [each.done for each in told] == sorted(each.done for each in told)


def test_memory_changes_no_constant() -> None:
    small, large = learner_of(), learner_of()
    small._fit = 7
    for a, b in zip(tensors(small.learn()), tensors(large.learn()), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_model_s_weights_are_left_as_they_are() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    before = {name: (p.detach().clone(), p.requires_grad) for name, p in model.hf.named_parameters()}
    ablate("optimal", model, batch, run(model, batch, batch.clean).outputs)
    for name, p in model.hf.named_parameters():
        assert torch.equal(p, before[name][0]) and p.requires_grad == before[name][1] and p.grad is None


def test_learned_constants_hold_on_other_prompts() -> None:
    model = tiny_model("gpt2")
    first = Problem.make(model, tiny_batch(), ablation="optimal")
    other = Problem.make(model, tiny_batch(seed=9), ablation="optimal", learned=first.ablated.learned)
    assert first.ablated.learned is not None and other.ablated.learned is first.ablated.learned
    for a, b in zip(tensors(first.ablated.outputs), tensors(other.ablated.outputs), strict=True):
        assert torch.equal(a[..., 0, 0, :], b[..., -1, -1, :]), "one vector a source, everywhere"
