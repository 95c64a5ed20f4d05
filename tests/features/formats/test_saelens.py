"""SAELens's files are read and written by its own formulas."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from acdc.errors import FileError
from acdc.features import Site, load, save
from acdc.features.activations import TopK
from tests.features.formats.files import D, N, X, saelens_tensors, write_folder, write_saelens
from tests.features.test_dictionary import tiny_dictionary

SAES = ("standard", "topk", "jumprelu", "gated")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")


def encoded(w: dict[str, Tensor], architecture: str, x: Tensor, k: int = 5) -> Tensor:
    """Features by SAELens's formulas; `x` is what is read behind norm and bias."""
    if architecture == "gated":
        return ((x @ w["W_enc"] + w["b_gate"]) > 0) * torch.relu(x @ (w["W_enc"] * w["r_mag"].exp()) + w["b_mag"])
    pre = x @ w["W_enc"] + w["b_enc"]
    if architecture == "topk":
        least = pre.topk(k, -1).values[..., -1:]
        return torch.where(pre >= least, pre, 0).relu()
    return pre.relu() * (pre > w["threshold"]) if "jumprelu" in architecture else pre.relu()


@pytest.mark.parametrize("architecture", SAES + TRANSCODERS)
def test_every_architecture_computes_by_its_formula_and_is_written_back_bit_for_bit(
    tmp_path: Path, architecture: str
) -> None:
    is_transcoder = architecture in TRANSCODERS
    w = write_saelens(tmp_path / "sae", architecture, d_out=12 if is_transcoder else D)
    read = load(tmp_path / "sae")
    assert read.reads == Site(1, "mlp_in" if is_transcoder else "resid_post") and read.model == "gpt2-small"
    assert read.writes == ((Site(1, "mlp_out"),) if is_transcoder else (read.reads,))
    features = encoded(w, architecture, X if is_transcoder else X - w["b_dec"])
    torch.testing.assert_close(read.encode(X), features)
    right = features @ w["W_dec"] + w["b_dec"] + (X @ w["W_skip"].T if "skip" in architecture else 0)
    torch.testing.assert_close(read.decode(features, X), right)

    save(read, tmp_path / "again")
    assert (tmp_path / "again/sae_weights.safetensors").read_bytes() == (
        tmp_path / "sae/sae_weights.safetensors"
    ).read_bytes()
    before, after = (json.loads((tmp_path / name / "cfg.json").read_text()) for name in ("sae", "again"))
    assert after == before


@pytest.mark.parametrize("normalize", ["constant_norm_rescale", "layer_norm"])
def test_tokens_are_normalised_and_that_is_undone(tmp_path: Path, normalize: str) -> None:
    w = write_saelens(tmp_path, "standard", normalize_activations=normalize)
    if normalize == "layer_norm":
        centred = X - X.mean(-1, keepdim=True)
        scale, mean = centred.std(-1, keepdim=True), X.mean(-1, keepdim=True)
        normed = centred / (scale + 1e-5)
    else:
        scale, mean = X.norm(dim=-1, keepdim=True) / D**0.5, torch.zeros(())
        normed = X / scale
    read = load(tmp_path)
    features = encoded(w, "standard", normed - w["b_dec"])
    torch.testing.assert_close(read.encode(X), features)
    torch.testing.assert_close(read.decode(features, X), (features @ w["W_dec"] + w["b_dec"]) * scale + mean)
    assert json.loads((save(read, tmp_path / "again") / "cfg.json").read_text())["normalize_activations"] == normalize


def test_a_model_that_was_centred_has_tokens_without_their_mean(tmp_path: Path) -> None:
    metadata = {
        "hook_name": "blocks.1.hook_resid_pre",
        "model_from_pretrained_kwargs": {"center_writing_weights": True},
    }
    w = write_saelens(tmp_path / "sae", "standard", metadata=metadata)
    read, mean = load(tmp_path / "sae"), X.mean(-1, keepdim=True)
    features = encoded(w, "standard", X - mean - w["b_dec"])
    torch.testing.assert_close(read.encode(X), features)
    torch.testing.assert_close(read.decode(features, X), features @ w["W_dec"] + w["b_dec"] + mean)
    assert torch.equal(load(save(read, tmp_path / "again")).encode(X), read.encode(X))


def test_a_scale_that_the_weights_dont_hold_is_asked_for_and_folded(tmp_path: Path) -> None:
    w = write_saelens(tmp_path, "standard", normalize_activations="expected_average_only_in")
    with pytest.raises(FileError, match=r"average norm of sqrt\(16\).*give it as input_scale"):
        load(tmp_path)
    read = load(tmp_path, input_scale=0.25)
    features = encoded(w, "standard", 0.25 * X - w["b_dec"])
    torch.testing.assert_close(read.encode(X), features)
    torch.testing.assert_close(read.decode(features), (features @ w["W_dec"] + w["b_dec"]) / 0.25)
    write_saelens(tmp_path / "plain", "standard")
    with pytest.raises(FileError, match="doesn't ask for a scale"):
        load(tmp_path / "plain", input_scale=2.0)


def test_features_of_rescaled_topk_are_as_large_as_what_they_write(tmp_path: Path) -> None:
    w = write_saelens(tmp_path, "topk", rescale_acts_by_decoder_norm=True)
    norms = w["W_dec"].norm(dim=-1)
    scaled = w | {"W_enc": w["W_enc"] * norms, "b_enc": w["b_enc"] * norms}
    features, read = encoded(scaled, "topk", X - w["b_dec"]), load(tmp_path)
    torch.testing.assert_close(read.encode(X), features)
    torch.testing.assert_close(read.decode(features), features / norms @ w["W_dec"] + w["b_dec"])


def test_names_of_older_versions_are_read_and_a_topk_is_one(tmp_path: Path) -> None:
    old: dict[str, Any] = {
        "hook_point": "blocks.0.attn.hook_z",
        "hook_point_head_index": None,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 5},
        "d_in": D,
        "d_sae": N,
        "normalize_activations": False,
        "model_name": "gpt2-small",
        "sae_lens_version": "5.9.1",
    }
    w = saelens_tensors("topk")
    write_folder(tmp_path, {"cfg.json": old}, {"sae_weights.safetensors": w})
    read = load(tmp_path)
    assert read.activation == TopK(5) and read.reads == Site(0, "z") and read.model == "gpt2-small"
    torch.testing.assert_close(read.encode(X), encoded(w, "topk", X - w["b_dec"]))
    again = load(save(read, tmp_path / "again"))
    assert again.reads == Site(0, "z") and torch.equal(again.encode(X), read.encode(X))
    write_folder(tmp_path, {"cfg.json": old | {"activation_fn_str": "tanh-relu"}}, {})
    with pytest.raises(FileError, match="'tanh-relu' isn't read"):
        load(tmp_path)


def test_what_saelens_has_no_architecture_for_is_refused(tmp_path: Path) -> None:
    across = replace(tiny_dictionary(), reads=Site(1, "mlp_in"), activation=TopK(3))
    with pytest.raises(FileError, match="no architecture for a transcoder with TopK"):
        save(across, tmp_path)


def test_a_dictionary_of_our_own_keeps_its_details_and_its_type(tmp_path: Path) -> None:
    own = replace(tiny_dictionary(), details={"training": {"tokens": 10**9, "l0": 31.5}}, model="acdc-small")
    read = load(save(own, tmp_path / "own"))
    assert read.details is not None and read.details["training"] == {"tokens": 10**9, "l0": 31.5}
    assert read.model == "acdc-small" and read.reads == own.reads and read.encoder.dtype == torch.float64
    assert torch.equal(read.encoder, own.encoder) and torch.equal(read.decoder[:], own.decoder[:])
    assert load(save(read, tmp_path / "again")).details == read.details
    assert load_file(tmp_path / "own/sae_weights.safetensors")["W_enc"].shape == (16, 12)


BAD = {
    "the architecture 'matching_pursuit' isn't read": {"architecture": "matching_pursuit"},
    "the architecture 'temporal' isn't read": {"architecture": "temporal"},
    "normalised by 'covariance_whitening' aren't read": {"normalize_activations": "covariance_whitening"},
    "single head": {"metadata": {"hook_name": "blocks.0.attn.hook_z", "hook_head_index": 3}},
    "'d_in': field required": {"d_in": ...},
    r"W_enc has the shape \[16, 24\], not \[32, 24\]": {"d_in": 32},
    "k = 99 of 24 features": {"architecture": "topk", "k": 99},
    "doesn't say k": {"architecture": "topk", "k": None},
    "no tensor 'threshold'": {"architecture": "jumprelu"},
    "'hook_embed', which is no site of ours": {"metadata": {"hook_name": "hook_embed"}},
}


@pytest.mark.parametrize("message", BAD)
def test_what_cant_be_read_says_why(tmp_path: Path, message: str) -> None:
    write_saelens(tmp_path, "standard")
    config = json.loads((tmp_path / "cfg.json").read_text()) | BAD[message]
    (tmp_path / "cfg.json").write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))
    with pytest.raises(FileError, match=message):
        load(tmp_path)
