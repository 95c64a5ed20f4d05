"""Attention patterns are Hugging Face's own, whatever the family and the padding."""

import base64
from dataclasses import replace

import pytest
import torch

from acdc.errors import CircuitError, RunError
from acdc.interpret.attention_pass import attention_pass
from acdc.interpret.patterns import attention_patterns
from acdc.patching.activations import run
from acdc.patching.attention import head_results
from acdc.prompts.batch import PromptBatch
from tests.configs import CONFIGS
from tests.tiny import KeepDouble, tiny_batch, tiny_model


def right_padded(batch: PromptBatch) -> PromptBatch:
    """The same prompts with their padding behind them."""

    def turned(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[i].roll(int(batch.lengths[i])) for i in range(batch.n)])

    return replace(batch, clean=turned(batch.clean), corrupt=turned(batch.corrupt), attention=turned(batch.attention))


# Hugging Face's own eager Falcon adds ALiBi to the mask and to the scores: its logits are then not the model's
@pytest.mark.parametrize("family", [family for family in CONFIGS if family != "falcon-alibi"])
def test_they_are_hugging_face_s(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    model.hf.set_attn_implementation("eager")
    model.hf.config._attn_implementation = "eager"  # Falcon takes it from here alone
    with KeepDouble(), torch.no_grad():
        ours = attention_patterns(model, batch)
        for i in range(batch.n):
            ids = batch.clean[i][batch.attention[i]][None]
            theirs = torch.stack(model.hf(input_ids=ids, output_attentions=True, use_cache=False).attentions)[:, 0]
            for j, head in enumerate(ours.heads):
                expected = theirs[divmod(j, model.graph.n_heads)]
                torch.testing.assert_close(ours.of(i, head), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "bloom", "mistral-window", "gemma2", "gpt-oss"])
def test_rows_sum_to_one_with_padding_on_either_side(family: str) -> None:
    model, left = tiny_model(family), tiny_batch()
    right = right_padded(left)
    with KeepDouble():
        found = [attention_patterns(model, batch) for batch in (left, right)]
    for batch, patterns in zip((left, right), found, strict=True):
        total = patterns.weights.sum(-1) + patterns.sink
        torch.testing.assert_close(total, batch.attention[:, None].expand_as(total).double(), atol=1e-12, rtol=0)
        assert float((patterns.sink > 0).double().mean()) == (
            float(batch.attention.double().mean()) if family == "gpt-oss" else 0
        )
    for i, length in enumerate(left.lengths.tolist()):
        ours, other = found[0].weights[i][:, -length:, -length:], found[1].weights[i][:, :length, :length]
        torch.testing.assert_close(ours, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "granite", "gemma2", "gpt-oss"])
def test_value_weights_are_norms_of_what_is_written(family: str) -> None:
    """Each token's part of a head's output is made alone, and measured."""
    model, batch = tiny_model(family), tiny_batch(n=2, lengths=(5, 7))
    with KeepDouble():
        found = attention_patterns(model, batch, value_weighted=True)

        def visit(here: object) -> None:
            parts = here.pattern[..., None] * here.v.repeat_interleave(here.attention.group, 0)[:, :, None]
            whole = here.z()
            scale = torch.where(whole == 0, 0, here.written(whole) / whole)[..., None, :]
            for h in range(model.graph.n_heads):
                norms = head_results(here.attention, (parts * scale)[h].flatten(1, 2), [h] * batch.n)
                expected = norms.norm(dim=-1).view(here.pattern[h].shape)
                j = here.layer * model.graph.n_heads + h
                torch.testing.assert_close(found.value_weighted[:, j], expected, atol=1e-10, rtol=0)

        attention_pass(model, batch, batch.clean, visit)


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "gemma2", "gpt-oss", "llama-gqa", "cohere"])
def test_the_pass_ends_where_the_engines_run_does(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    with KeepDouble():
        final = attention_pass(model, batch, batch.clean, lambda here: None)
        expected = run(model, batch, batch.clean).final
    torch.testing.assert_close(final[batch.attention], expected[batch.attention], atol=1e-10, rtol=0)


def test_memory_changes_nothing_and_what_does_not_fit_is_refused() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    whole = attention_patterns(model, batch, ["a1.h0"])
    small = attention_patterns(model, batch, ["a1.h0"], memory=2600)
    torch.testing.assert_close(whole.weights, small.weights, atol=1e-14, rtol=0)
    with pytest.raises(RunError, match="name some heads"):
        attention_patterns(model, batch, memory=2600)


def test_a_head_that_is_not_there_is_told() -> None:
    with pytest.raises(CircuitError, match=r"has no head 'a9\.h9': its heads are 'a0\.h0' to 'a2\.h1'"):
        attention_patterns(tiny_model("gpt2"), tiny_batch(), ["a9.h9"])


def test_they_are_tables_bytes_and_text() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    found = attention_patterns(model, batch, value_weighted=True)
    frame = found.frame(0, "a0.h1")
    assert frame.shape == (7, 7) and frame.to_numpy().sum() == pytest.approx(7)
    weights, weighted = found.encoded(0, "a0.h1")
    assert len(base64.b64decode(weights)) == 49 and max(base64.b64decode(weighted)) == 255
    with pytest.raises(RunError, match="value_weighted"):
        attention_patterns(model, batch).of(0, "a0.h1", value_weighted=True)
