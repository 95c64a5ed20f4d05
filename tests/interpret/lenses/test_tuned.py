"""A tuned lens starts as the logit lens, training brings it nearer to the output, its files are published ones."""

import json
import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from acdc.errors import ACDCError, FileError, ModelError, RunError, TaskError
from acdc.interpret.lenses import read_lens
from acdc.interpret.lenses.training import train_tuned_lens
from acdc.interpret.lenses.training_state import TrainingState
from acdc.interpret.lenses.tuned import TunedLens
from acdc.interpret.lenses.tuned_file import load_tuned_lens, save_tuned_lens
from acdc.interpret.lenses.windows import random_windows, split, text_windows
from acdc.patching.activations import run
from tests.configs import ONE_EACH
from tests.tiny import kept_double, tiny_batch, tiny_model


@pytest.mark.parametrize("family", ONE_EACH)
def test_it_starts_as_the_logit_lens(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    with kept_double(family):
        logit, tuned = (read_lens(model, batch, **lens) for lens in ({}, {"lens": TunedLens.zero(model).of(model)}))
    assert tuned.kind == "tuned lens"
    assert tuned.tokens.equal(logit.tokens) and tuned.kl.nan_to_num().equal(logit.kl.nan_to_num())


def test_its_map_is_added_to_the_residual_stream() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    lens = random_lens(3, 16)
    found = read_lens(model, batch, lens=lens.of(model), by_position=False, top=50)
    for layer, h in enumerate(run(model, batch, batch.clean).resid_pre):
        said = model.unembed(h[:, -1] + h[:, -1] @ lens.weight[layer].T + lens.bias[layer]).softmax(-1)
        torch.testing.assert_close(found.probabilities[layer, :, 0], said.sort(-1, descending=True).values)
    with pytest.raises(ModelError, match="no translator for resid_mid"):
        read_lens(model, batch, lens=lens.of(model), mid=True)


def random_lens(n_layers: int, width: int) -> TunedLens:
    draw = torch.Generator().manual_seed(0)
    maps = torch.randn(n_layers, width, width + 1, generator=draw, dtype=torch.float64) / 8
    return TunedLens(maps[..., 1:], maps[..., 0], "tiny")


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "cohere", "gptj"])
def test_training_brings_it_nearer_to_the_model_on_tokens_held_out(family: str) -> None:
    model = tiny_model(family)
    texts, held_out = split(random_windows(model, 60, length=12))
    assert (texts.n, held_out.n, texts.n_shared(held_out)) == (54, 6, 0)
    before = [parameter.clone() for parameter in model.hf.parameters()]
    found = train_tuned_lens(model, texts, held_out, steps=40, tokens=200)
    assert (found.after < found.before).all() and found.n_held_out == 6 * 12
    assert found.after.mean() < 0.9 * found.before.mean()
    logit = read_lens(model, held_out).kl[:-1].mean((1, 2))
    torch.testing.assert_close(found.before, logit)
    assert all(old.equal(new) for old, new in zip(before, model.hf.parameters(), strict=True))


def test_one_step_follows_the_published_recipe() -> None:
    """Against the loss written out and one step of SGD with Nesterov's momentum by hand."""
    model = tiny_model("gpt2")
    texts, held_out = split(random_windows(model, 3, length=5))
    found = train_tuned_lens(model, texts, held_out, steps=1, tokens=10)  # both windows
    clean = run(model, texts, texts.clean)
    final = model.unembed(clean.final.flatten(0, 1)).log_softmax(-1).detach()
    zero = TunedLens.zero(model)
    maps = [zero.weight.clone().requires_grad_(), zero.bias.clone().requires_grad_()]
    loss = torch.tensor(0.0, dtype=torch.float64)
    for layer, h in enumerate(clean.resid_pre):
        h = h.flatten(0, 1)
        said = model.unembed(h + h @ maps[0][layer].T + maps[1][layer]).log_softmax(-1)
        loss = loss + (final.exp() * (final - said)).sum(-1).mean()
    gradients = torch.autograd.grad(loss, maps)
    norm = torch.sqrt(sum(g.pow(2).sum() for g in gradients))
    for trained, gradient in zip((found.lens.weight, found.lens.bias), gradients, strict=True):
        clipped = gradient / max(1.0, float(norm) + 1e-6)
        torch.testing.assert_close(trained, -0.1 * (1 + 0.9) * clipped)


def test_one_seed_gives_one_lens_and_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama-gqa")
    texts, held_out = split(random_windows(model, 20, length=8))
    first, again, other = (train_tuned_lens(model, texts, held_out, steps=3, tokens=32, seed=s) for s in (0, 0, 1))
    assert first.lens.weight.equal(again.lens.weight) and not first.lens.weight.equal(other.lens.weight)
    monkeypatch.setattr("acdc.interpret.lenses.training.MEMORY", 5 * 8 * 50 * 4)
    small = train_tuned_lens(model, texts, held_out, steps=3, tokens=32)
    torch.testing.assert_close(small.lens.weight, first.lens.weight, atol=1e-12, rtol=0)


class Stopped(Exception):
    pass


def test_a_stopped_training_goes_on_to_the_same_lens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gpt2")
    texts, held_out = split(random_windows(model, 20, length=8))
    monkeypatch.setattr("acdc.interpret.lenses.training_state.EVERY", 0.0)
    whole = train_tuned_lens(model, texts, held_out, steps=6, tokens=32)

    def stop(progress: Any) -> None:
        if progress.done == 4 and progress.unit == "steps":
            raise Stopped

    with pytest.raises(Stopped):
        train_tuned_lens(model, texts, held_out, steps=6, tokens=32, keep=tmp_path / "lens", progress=stop)
    steps: list[int] = []
    again = train_tuned_lens(
        model,
        texts,
        held_out,
        steps=6,
        tokens=32,
        keep=tmp_path / "lens",
        progress=lambda p: steps.append(p.done) if p.unit == "steps" else None,
    )
    assert steps == [4, 5]
    assert again.lens.weight.equal(whole.lens.weight) and again.n_tokens == whole.n_tokens
    assert not list((tmp_path / "lens").iterdir())  # what was kept of the training is of no use any more


def test_another_s_or_a_damaged_state_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model("gpt2")
    texts, held_out = split(random_windows(model, 20, length=8))
    plain = train_tuned_lens(model, texts, held_out, steps=2, tokens=32)
    for content in (b"not torch's", None):
        if content is None:
            state = TrainingState(tmp_path / "training.pt", "another", written=-1e9)
            leaf = torch.zeros(1, requires_grad=True)
            optimizer = torch.optim.SGD([leaf], 1.0, momentum=0.9)
            leaf.sum().backward()
            optimizer.step()
            state.keep(1, [leaf], optimizer)
        else:
            (tmp_path / "training.pt").write_bytes(content)
        with caplog.at_level(logging.WARNING, "acdc"):
            found = train_tuned_lens(model, texts, held_out, steps=2, tokens=32, keep=tmp_path)
        assert found.lens.weight.equal(plain.lens.weight)
    assert [word for word in ("is damaged", "another training's") if word in caplog.text] == [
        "is damaged",
        "another training's",
    ]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    lens = random_lens(3, 16)
    files = save_tuned_lens(lens, tmp_path / "lens")
    assert sorted(path.name for path in files) == ["config.json", "params.pt"]
    found = load_tuned_lens(tmp_path / "lens")
    assert found.weight.equal(lens.weight) and found.bias.equal(lens.bias) and found.base == "tiny"


def published(folder: Path, state: object, **changes: object) -> Path:
    """A folder as the package `tuned-lens` writes it."""
    config = {"base_model_name_or_path": "gpt2", "d_model": 4, "num_hidden_layers": 2, "bias": True}
    config |= {"base_model_revision": None, "unembed_hash": "0" * 64, "lens_type": "linear_tuned_lens"}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config | changes))
    torch.save(state, folder / "params.pt")
    return folder


def linears(bias: bool = True, dtype: torch.dtype = torch.float32) -> OrderedDict[str, torch.Tensor]:
    torch.manual_seed(0)
    return torch.nn.ModuleList([torch.nn.Linear(4, 4, bias=bias, dtype=dtype) for _ in range(2)]).state_dict()


def test_a_published_lens_is_read(tmp_path: Path) -> None:
    state = linears()
    found = load_tuned_lens(published(tmp_path / "a", state, something_new=3))
    x = torch.randn(5, 4)
    expected = x + torch.nn.functional.linear(x, state["1.weight"], state["1.bias"])
    torch.testing.assert_close(found.translate(1, x), expected)
    without = load_tuned_lens(published(tmp_path / "b", linears(bias=False, dtype=torch.float16), bias=False))
    assert without.weight.dtype == torch.float32 and not without.bias.any()


BAD: dict[str, Any] = {
    "more layers than its config": (linears(), {"num_hidden_layers": 1}, "is no tensor of 1 layers"),
    "fewer": (linears(), {"num_hidden_layers": 3}, "'2.bias' is missing"),
    "another width": (linears(), {"d_model": 5}, "'0.weight' is no tensor of numbers of the shape"),
    "another type": (linears(), {"lens_type": "mlp"}, "is not that of a tuned lens: 'lens_type'"),
    "a list": ([torch.zeros(1)], {}, "holds no tensors by name"),
    "an object": ({"0.weight": Path("x")}, {}, "holds an object"),
    "NaN": ({**linears(), "1.bias": torch.full((4,), torch.nan)}, {}, "NaN or infinite"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_lens_is_refused(tmp_path: Path, name: str) -> None:
    state, changes, message = BAD[name]
    with pytest.raises(FileError, match=message):
        load_tuned_lens(published(tmp_path / "lens", state, **changes))


def test_a_folder_without_a_lens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no tuned lens in"):
        load_tuned_lens(tmp_path)


def test_a_lens_of_another_model_is_refused_or_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    lens, model = TunedLens.zero(tiny_model("gpt2")), tiny_model("gpt2", seed=1)
    with caplog.at_level(logging.WARNING, "acdc"):
        lens.of(tiny_model("gpt2"))
        assert not caplog.records
        lens.of(model)
    assert "trained for another unembedding" in caplog.text
    with pytest.raises(ModelError, match="of 3 layers and width 16; 'llama' has 2 layers and width 32"):
        lens.of(tiny_model("llama"))


def test_windows_of_a_text_hold_all_of_it_and_begin_as_the_tokenizer_does() -> None:
    model = tiny_model("gpt2")
    text = " ".join(map(str, range(1, 41)))
    windows = text_windows(model, text, length=7, bos=True)
    assert (windows.clean[:, 0] == 0).all() and windows.clean[:, 1:].flatten().tolist() == list(range(1, 37))
    with pytest.raises(TaskError, match="at least two windows of 32 are needed"):
        text_windows(model, text, bos=False)
    with pytest.raises(RunError, match="windows of 100 tokens are longer than the context of 'gpt2', 32"):
        text_windows(model, text, length=100)


def test_mistakes_of_a_training_are_told() -> None:
    model = tiny_model("gpt2")
    texts, held_out = split(random_windows(model, 4, length=8))
    with pytest.raises(RunError, match="at least 1, not 0 and 8"):
        train_tuned_lens(model, texts, held_out, steps=0, tokens=8)
    with pytest.raises(ACDCError, match="longer than the context"):
        train_tuned_lens(model, tiny_batch(lengths=(40,)), held_out)
