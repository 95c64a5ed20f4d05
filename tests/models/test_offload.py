"""A model whose blocks are kept on the disk computes what it computes in memory, with one block there at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from acdc.errors import ModelError
from acdc.models import PatchableModel
from acdc.models.offload import Offloaded, OffloadedBlocks, is_offloaded
from acdc.patching.problem import Problem
from acdc.patching.weighted import weighted_logits
from acdc.runs.fingerprint import model_identity
from tests.models.engines import exact, gradients, logits, masked, weighted
from tests.tiny import tiny_batch, tiny_model

pytest.importorskip("accelerate")
FAMILIES = ["gpt2", "llama-gqa", "gemma2", "mixtral", "gpt-oss", "falcon-gqa", "olmo2"]


@pytest.fixture(autouse=True)
def numbers_for_a_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.models.patchable.load_tokenizer", lambda origin: tiny_model("gpt2").tokenizer)


def folder(family: str, path: Path, dtype: torch.dtype = torch.float64) -> Path:
    """A tiny model's folder."""
    tiny_model(family, dtype=dtype).hf.save_pretrained(path)
    return path


def loaded(path: Path, device_map: Any = None, dtype: str = "float64") -> PatchableModel:
    return PatchableModel.from_pretrained(path, dtype=dtype, device_map=device_map)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_engines_find_the_same(family: str, tmp_path: Path) -> None:
    here = Problem.make(loaded(folder(family, tmp_path)), tiny_batch())
    away = Problem.make(loaded(tmp_path, "offload"), tiny_batch())
    assert is_offloaded(away.model.hf) and not is_offloaded(here.model.hf)
    works: list[Callable[[Problem], Tensor]] = [logits, masked, gradients, weighted, exact]
    for work in works:
        assert torch.equal(work(away), work(here)), work.__name__
    assert torch.equal(away.model.reference_logits(away.batch), here.model.reference_logits(here.batch))
    assert model_identity(away.model) | {"name": ""} == model_identity(here.model) | {"name": ""}


def test_another_dtype_than_the_file_s_is_kept_on_the_disk_too(tmp_path: Path) -> None:
    folder("llama-gqa", tmp_path, torch.float32)
    here, away = (Problem.make(loaded(tmp_path, device_map), tiny_batch()) for device_map in (None, "offload"))
    assert is_offloaded(away.model.hf)
    assert torch.equal(gradients(away), gradients(here))


def test_a_device_map_may_name_the_disk_for_some_layers(tmp_path: Path) -> None:
    folder("llama-gqa", tmp_path)
    some = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk", "model.norm": "cpu"}
    model = loaded(tmp_path, {**some, "model.rotary_emb": "cpu", "lm_head": "cpu"})
    kinds = [type(block.attention) is Offloaded for block in model.components.blocks]
    assert kinds == [False, True]
    assert torch.equal(masked(Problem.make(model, tiny_batch())), masked(Problem.make(loaded(tmp_path), tiny_batch())))


def test_an_unembedding_on_the_disk_is_refused(tmp_path: Path) -> None:
    folder("llama-gqa", tmp_path)
    some = {"model.embed_tokens": "cpu", "model.layers": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu"}
    with pytest.raises(ModelError, match="the unembedding is kept on the disk"):
        loaded(tmp_path, {**some, "lm_head": "disk"})


def test_one_layer_is_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(folder("llama-gqa", tmp_path), "offload")
    assert not model.components.blocks[-1].attention.W_Q.is_meta  # the last layer is the one that is held
    held, read = list[int](), OffloadedBlocks._loaded
    monkeypatch.setattr(OffloadedBlocks, "_loaded", lambda self, layer: held.append(layer) or read(self, layer))
    problem = Problem.make(model, tiny_batch(), ablation="zero")
    assert held[: model.graph.n_layers] == list(range(model.graph.n_layers)), "a run reads each layer once"
    del problem
    first = model.components.blocks[0].attention.W_Q
    last = model.components.blocks[-1].attention.W_Q
    assert not first.is_meta and not last.is_meta
    assert model.components.blocks[0].attention.W_Q is not first, "it was let go when the last was read"
    assert all(parameter.is_meta for parameter in model.hf.model.layers.parameters())


def test_a_backward_pass_through_masks_holds_no_layer_s_weights(tmp_path: Path) -> None:
    problem = Problem.make(loaded(folder("llama-gqa", tmp_path), "offload"), tiny_batch())
    weights = problem.model.graph.edges_mask.double().requires_grad_()
    logits = weighted_logits(problem.masked, weights)
    (made,) = logits.grad_fn.passes.held.values()
    assert len(made.layers) == problem.model.graph.n_layers
    for layer in made.layers:
        assert not layer.heads._weights and all(change is None or change.grad_fn is None for change in layer.changes)
        assert all(out.grad_fn is None for out in layer.mlp[1])
    logits.sum().backward()
    assert weights.grad is not None and bool(weights.grad.any())


def test_an_attention_with_another_field_holds_no_weights_either(tmp_path: Path) -> None:
    model = loaded(folder("llama-gqa", tmp_path), "offload")
    attention = model.components.blocks[0].attention
    other = replace(attention, softmax=torch.exp)
    assert isinstance(other, Offloaded) and other.softmax is torch.exp
    assert vars(other)["W_Q"].is_meta and vars(other)["W_Q"].shape == attention.W_Q.shape
    assert torch.equal(other.W_Q, attention.W_Q) and other.n_heads == attention.n_heads == 4 and other.group == 2
