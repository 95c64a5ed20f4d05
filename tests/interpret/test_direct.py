"""Direct logit attribution: an exact split of the logit, and the exact effect of edges to `logits` at a held norm."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from acdc.errors import TaskError
from acdc.evaluation.confidence import mean_interval
from acdc.interpret.direct import direct_attribution
from acdc.metrics.answers import mean_logit_at
from acdc.models import PatchableModel
from acdc.patching.activations import run
from acdc.patching.attention import attn_out, constant
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch
from tests.configs import CONFIGS, ONE_EACH
from tests.tiny import KeepDouble, kept_double, tiny_batch, tiny_model


def uncapped(model: PatchableModel) -> PatchableModel:
    model.components = replace(model.components, logit_cap=None)
    return model


def held(norm: Callable[[Tensor], Tensor], at: Tensor) -> Callable[[Tensor], Tensor]:
    """A norm with the scale that it has `at` some rows, read off what it makes of them."""
    at_zero = norm(torch.zeros_like(at))
    centring = torch.allclose(norm(at), norm(at + 1))

    def centred(x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if centring else x

    scale = (norm(at) - at_zero) / centred(at)
    return lambda x: scale * centred(x) + at_zero


def difference(logits: Tensor, batch: PromptBatch) -> Tensor:
    return mean_logit_at(logits, batch.correct) - mean_logit_at(logits, batch.wrong)


@pytest.mark.parametrize("family", CONFIGS)
def test_the_terms_sum_to_the_logits_of_every_family(family: str) -> None:
    """To the model's own, where no soft cap comes after them."""
    model, batch = uncapped(tiny_model(family)), tiny_batch()
    with KeepDouble():
        logits = run(model, batch, batch.clean).logits
        found = direct_attribution(model, batch)
        torch.testing.assert_close(found.values.sum(0), difference(logits, batch), atol=1e-10, rtol=0)
        torch.testing.assert_close(found.logit, difference(logits, batch), atol=1e-10, rtol=0)
        of_token = direct_attribution(model, batch, towards=7)
        torch.testing.assert_close(of_token.values.sum(0), logits[:, 7], atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_the_terms_sum_to_the_logits_at_every_position(family: str) -> None:
    """Before a soft cap; at the target they are those of the target alone."""
    model, batch = tiny_model(family), tiny_batch()
    with KeepDouble():
        found = direct_attribution(model, batch, towards="correct", by_position=True)
        at_target = direct_attribution(model, batch, towards="correct")
    real = batch.attention
    assert torch.isnan(found.values[:, ~real]).all()
    torch.testing.assert_close(found.values.sum(0)[real], found.logit[real], atol=1e-10, rtol=0)
    torch.testing.assert_close(found.values[..., -1], at_target.values, atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_heads_and_output_biases_are_what_attention_adds(family: str) -> None:
    """All heads and `b_O` at once, taken out of the last stream of a model whose norm is held."""
    model, batch = uncapped(tiny_model(family)), tiny_batch()
    with KeepDouble(), torch.no_grad():
        clean, found = run(model, batch, batch.clean), direct_attribution(model, batch)
        without = clean.final[:, -1]
        for block, z in zip(model.components.blocks, clean.outputs.z, strict=True):
            bias = constant(block.attention)
            without = without - attn_out(block.attention, z)[:, -1] - (0 if bias is None else bias)
        norm = held(model.components.ln_final, clean.final[:, -1])
        model.components = replace(model.components, ln_final=norm)
        expected = difference(clean.logits, batch) - difference(model.unembed(without), batch)
    of_heads = [i for i, term in enumerate(found.terms) if term.startswith("a") or term == "b_O"]
    torch.testing.assert_close(found.values[of_heads].sum(0), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("ablation", ["corrupt", "zero"])
@pytest.mark.parametrize("family", ONE_EACH)
def test_a_term_is_the_effect_of_removing_its_edge_to_the_logits(family: str, ablation: str) -> None:
    """With the final norm's scale held; against a masked forward pass without that one edge."""
    model, batch = uncapped(tiny_model(family)), tiny_batch()
    with kept_double(family), KeepDouble(), torch.no_grad():
        problem = Problem.make(model, batch, ablation=ablation)
        found = direct_attribution(model, batch, cache=problem.clean, minus=problem.ablated.outputs)
        norm = held(model.components.ln_final, problem.clean.final[:, -1])
        model.components = replace(model.components, ln_final=norm)
        whole = difference(problem.clean.logits, batch)
        for node in ("input", "a0.h1", f"a{model.graph.n_layers - 1}.h0", "m0"):
            mask = model.graph.edges_mask.clone()
            mask[model.graph.parse_edge(f"{node}->logits")] = False
            effect = whole - difference(problem.logits(mask), batch)
            torch.testing.assert_close(found.of(node), effect, atol=1e-9, rtol=0)


def test_a_soft_cap_s_slope_is_its_derivative() -> None:
    model, batch = tiny_model("gemma2"), tiny_batch()
    cap = model.components.logit_cap
    assert cap is not None
    with KeepDouble():
        found = direct_attribution(model, batch, towards=7)
        capped = run(model, batch, batch.clean).logits[:, 7]
    torch.testing.assert_close(cap * torch.tanh(found.logit / cap), capped)
    assert found.cap_slope is not None
    step = (cap * torch.tanh((found.logit + 1e-6) / cap) - capped) / 1e-6
    torch.testing.assert_close(found.cap_slope, step, atol=1e-5, rtol=0)


def test_tables_give_means_with_intervals_the_largest_first() -> None:
    found = direct_attribution(tiny_model("gpt2"), tiny_batch(n=16))
    frame = found.frame()
    assert frame["mean"].abs().is_monotonic_decreasing
    assert set(frame["term"]) == {*found.graph.sources, "b_O", "b_U"}
    for row in (0, 5):
        alone = mean_interval(found.of(frame["term"][row]).numpy())
        np.testing.assert_allclose(
            frame.loc[row, ["mean", "low", "high"]].astype(float), [alone.value, alone.low, alone.high]
        )


def test_tables_by_position_have_a_row_for_every_token() -> None:
    batch = tiny_batch()
    found = direct_attribution(tiny_model("gpt2"), batch, by_position=True)
    frame = found.frame()
    assert len(frame) == len(found.terms) * int(batch.attention.sum())
    row = frame[(frame["term"] == "m1") & (frame["prompt"] == 2) & (frame["position"] == 5)]
    assert row["value"].item() == found.of("m1")[2, -1]  # its sixth and last token


def test_what_prompts_lack_is_said() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    lacking = replace(batch, wrong=batch.wrong.clone().index_fill(0, torch.tensor([1]), -1))
    with pytest.raises(TaskError, match="without wrong answers"):
        direct_attribution(model, lacking)
    with pytest.raises(TaskError, match="'difference', 'correct', 'wrong' or a token's id, not 'both'"):
        direct_attribution(model, batch, towards="both")
    with pytest.raises(TaskError, match="knows only 50 tokens"):
        direct_attribution(model, batch, towards=50)
