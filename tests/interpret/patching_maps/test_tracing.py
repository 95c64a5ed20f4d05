"""Causal tracing: what a cell restores equals hooks on the noised Hugging Face model; wrong prompts are left out."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch

from acdc.errors import RunError, TaskError
from acdc.interpret.patching_maps import causal_trace, clean_batch
from acdc.interpret.patching_maps.subjects import about_subject, subject_mask
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch
from tests.interpret.patching_maps.hooked import hooked, logits, read, spot
from tests.tiny import tiny_batch, tiny_model

SUBJECT = torch.tensor([1, 2])


def answered(model: PatchableModel, *, n: int = 1, wrong: tuple[int, ...] = ()) -> PromptBatch:
    """Prompts of five tokens whose right answer is what the model says, but for some."""
    batch = tiny_batch(n=n, lengths=(5,), shared=1)
    said = logits(model, batch.clean).argmax(-1, keepdim=True)
    for i in wrong:
        said[i] = (said[i] + 1) % 50
    return replace(batch, correct=said)


def subject_of(batch: PromptBatch) -> torch.Tensor:
    found = torch.zeros_like(batch.attention)
    found[:, SUBJECT] = True
    return found


@pytest.mark.parametrize("site", ("resid_pre", "mlp_out", "attn_out"))
def test_a_cell_restores_what_hooks_restore(site: str) -> None:
    model, samples, window = tiny_model("gpt2"), 3, 2
    batch = answered(model)
    trace = causal_trace(model, batch, subject_of(batch), sites=site, samples=samples, window=window, columns="each")
    (found,) = trace.maps
    n_layers, d_model = model.graph.n_layers, model.graph.d_model
    noise = torch.zeros(samples, 5, d_model, dtype=torch.float64)
    noise[:, SUBJECT] = torch.from_numpy(np.random.RandomState(0).randn(samples, 2, d_model)) * trace.deviation
    many = batch.clean.repeat(samples, 1)

    def add(x: torch.Tensor) -> None:
        x += noise

    correct = int(batch.correct[0, 0])
    for layer, column in np.ndindex(len(found.rows), 5):
        layers = range(max(0, layer - 1), min(n_layers, layer + 1)) if site != "resid_pre" else [layer]
        clean = {each: read(model, batch.clean, spot(model, site, each)) for each in layers}
        with ExitStack() as hooks:
            hooks.enter_context(hooked(spot(model, "resid_pre", 0), add))
            for each in layers:

                def put(x: torch.Tensor, each: int = each, column: int = column) -> None:
                    x[:, column] = clean[each][:, column]  # noqa: B023  used before the loop goes on

                hooks.enter_context(hooked(spot(model, site, each), put))
            expected = logits(model, many).softmax(-1)[:, correct].mean()
        assert found.patched[layer, column, 0] == pytest.approx(float(expected), abs=1e-10)
    assert found.clean[0] == pytest.approx(float(logits(model, batch.clean).softmax(-1)[0, correct]))


def test_noise_is_so_many_deviations_of_the_subjects_embeddings() -> None:
    model = tiny_model("llama")
    batch = answered(model, n=2)
    trace = causal_trace(model, batch, subject_of(batch), noise=2.0, samples=1, sites="resid_pre")
    tokens = batch.clean[:, SUBJECT].flatten()
    assert trace.deviation == pytest.approx(2 * float(model.hf.model.embed_tokens(tokens).std().detach()))


def test_noise_is_scaled_as_the_stream_holds_embeddings() -> None:
    """Gemma multiplies embeddings by the root of its width."""
    model = tiny_model("gemma")
    batch = answered(model)
    trace = causal_trace(model, batch, subject_of(batch), noise=1.0, samples=1, sites="resid_pre")
    tokens = batch.clean[0, SUBJECT]
    expected = model.embed(tokens[None], torch.zeros(1, 2, dtype=torch.long)).std()
    assert trace.deviation == pytest.approx(float(expected.detach()), rel=1e-6)


def test_prompts_that_are_answered_wrongly_are_left_out_and_counted() -> None:
    model = tiny_model("gpt2")
    batch = answered(model, n=3, wrong=(1,))
    trace = causal_trace(model, batch, subject_of(batch), samples=2, sites="resid_pre")
    assert trace.skipped == (1,)
    rest = batch.select([0, 2])
    alone = causal_trace(model, rest, subject_of(rest), samples=2, sites="resid_pre")
    np.testing.assert_allclose(trace.maps[0].patched, alone.maps[0].patched, atol=1e-12)
    assert trace.maps[0].columns[3] == "last subject token"
    with pytest.raises(TaskError, match="nothing to trace"):
        causal_trace(model, batch.select([1]), subject_of(batch)[1:2], samples=2)


def test_every_token_is_in_one_column_about_the_subject() -> None:
    attention = torch.tensor([[False, True, True, True, True, True, True, True], [True] * 8])
    subject = torch.zeros(2, 8, dtype=torch.bool)
    subject[0, 3], subject[1, 1:4] = True, True
    columns = about_subject(subject, attention)
    assert (columns.where.sum(0) == attention.long()).all()
    of_first = dict(zip(columns.labels, columns.where[:, 0].long().argmax(-1).tolist(), strict=True))
    assert (of_first["last subject token"], of_first["first token after"], of_first["last token"]) == (3, 4, 7)
    of_second = dict(zip(columns.labels, columns.where[:, 1].long().argmax(-1).tolist(), strict=True))
    assert (of_second["first subject token"], of_second["middle subject tokens"]) == (1, 2)


def test_a_seed_gives_one_trace_and_memory_changes_nothing() -> None:
    model = tiny_model("gpt2")
    batch = answered(model)

    def traced(**options: int) -> np.ndarray:
        return causal_trace(model, batch, subject_of(batch), samples=2, sites="mlp_out", **options).maps[0].patched

    np.testing.assert_allclose(traced(), traced(memory=1), atol=1e-12)
    assert np.abs(traced() - traced(seed=1)).max() > 1e-6


def test_a_bundled_model_s_prompt_is_traced_by_its_text() -> None:
    model = PatchableModel.from_pretrained("acdc-tasks")
    batch = clean_batch(model.tokenizer, ["The capital of France is"], [[" Paris"]])
    where = subject_mask(batch, model.tokenizer, "France")
    assert model.tokenizer.decode(batch.clean[where].tolist()).strip() == "France"
    trace = causal_trace(model, batch, "France", samples=4, window=3)
    states = trace.maps[0]
    assert states.clean[0] > 0.5 > states.corrupt[0]
    column = [label.endswith("*") for label in states.columns].index(True)
    assert states.values[0, column] == pytest.approx(1, abs=1e-4), "restoring the embedding is restoring all"
    assert states.values[-1, -1] == pytest.approx(1, abs=1e-4)


def test_mistakes_are_told() -> None:
    model = tiny_model("gpt2")
    batch = answered(model)
    with pytest.raises(TaskError, match="does not occur"):
        causal_trace(model, batch, "99 98")
    with pytest.raises(TaskError, match="2 subjects"):
        causal_trace(model, batch, ["1", "2"])
    with pytest.raises(TaskError, match="subject is empty"):
        causal_trace(model, batch, " ")
    with pytest.raises(RunError, match="must be positive"):
        causal_trace(model, batch, "1", samples=0)
