"""Gemma Scope's files are read by what the names of their folders say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from acdc.errors import FileError, ModelError
from acdc.features import Site, load, load_set
from acdc.features.formats.npz import MappedRows
from tests.features.formats.files import D, N, X, drawn, write_folder
from tests.tiny import tiny_model

SHAPES = {"W_enc": (D, N), "W_dec": (N, D), "b_enc": (N,), "b_dec": (D,), "threshold": (N,)}


def encoded(w: dict[str, Tensor], x: Tensor = X) -> Tensor:
    pre = x @ w["W_enc"] + w["b_enc"]
    return pre.relu() * (pre > w["threshold"])


def write_npz(folder: Path) -> dict[str, Tensor]:
    w = drawn(0, **SHAPES)
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in w.items()})
    return w


def test_the_first_is_read_by_its_folders_names(tmp_path: Path) -> None:
    inside = "layer_1/width_16k/average_l0_71"
    for kind, site in (("res", "resid_post"), ("att", "z"), ("mlp", "mlp_out")):
        w = write_npz(tmp_path / f"gemma-scope-2b-pt-{kind}" / inside)
        read = load(tmp_path / f"gemma-scope-2b-pt-{kind}" / inside)
        assert read.reads == Site(1, site) and read.is_sae and read.model == "google/gemma-2-2b"
        torch.testing.assert_close(read.encode(X), encoded(w))
        torch.testing.assert_close(read.decode(encoded(w)), encoded(w) @ w["W_dec"] + w["b_dec"])
    w = write_npz(tmp_path / "gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6")
    read = load(tmp_path / "gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6")
    assert read.reads == Site(0, "resid_pre")
    torch.testing.assert_close(read.encode(D**0.5 * X), encoded(w))
    torch.testing.assert_close(read.decode(encoded(w)), D**0.5 * (encoded(w) @ w["W_dec"] + w["b_dec"]))


def test_rows_stay_in_a_file_that_isnt_compressed(tmp_path: Path) -> None:
    w, some = write_npz(tmp_path / "mine"), torch.tensor([5, 2])
    lazy = load(tmp_path / "mine", site="resid_post.0")
    np.savez_compressed(tmp_path / "mine/params.npz", **{name: tensor.numpy() for name, tensor in w.items()})
    whole = load(tmp_path / "mine", site="resid_post.0")
    assert isinstance(lazy.decoder, MappedRows) and isinstance(whole.decoder, Tensor)
    assert lazy.decoder.shape == whole.decoder.shape == (N, 1, D)
    assert torch.equal(whole.directions(some), w["W_dec"][some])
    write_npz(tmp_path / "other")
    again = load(tmp_path / "other", site="resid_post.0")
    assert torch.equal(again.directions(some), w["W_dec"][some]) and torch.equal(again.decoder[:], whole.decoder)
    np.savez(
        tmp_path / "other/params.npz",
        **{name: tensor.numpy() for name, tensor in w.items()} | {"W_dec": np.ones((3, D))},
    )
    with pytest.raises(FileError, match=r"W_dec has the shape \[3, 16\], not \[24, 16\]"):
        load(tmp_path / "other", site="resid_post.0")
    np.savez(tmp_path / "other/params.npz", **{name: np.full_like(tensor, np.nan) for name, tensor in w.items()})
    with pytest.raises(FileError, match="NaN or infinite"):
        load(tmp_path / "other", site="resid_post.0")


def test_a_transcoder_before_the_gain_reads_what_is_behind_it(tmp_path: Path) -> None:
    place = tmp_path / "gemma-scope-2b-pt-transcoders/layer_1/width_16k/average_l0_11"
    w, model = write_npz(place), tiny_model("gemma2")
    with pytest.raises(ModelError, match=r"before the norm's gain .*give the model"):
        load(place)
    with pytest.raises(ModelError, match="'gpt2' has no RMS norm there"):
        load(place, model=tiny_model("gpt2"))
    read = load(place, model=model, dtype=torch.float64)
    assert read.reads == Site(1, "mlp_in") and read.writes == (Site(1, "mlp_out"),)
    x, norm = X.double(), model.components.blocks[1].ln2
    before_gain = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.eps)
    right = encoded({name: tensor.double() for name, tensor in w.items()}, before_gain)
    torch.testing.assert_close(read.encode(norm(x)), right, atol=1e-5, rtol=1e-5)  # norms of Gemma round to float32


def test_what_names_dont_say_is_asked_for_and_objects_are_refused(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine")
    with pytest.raises(FileError, match=r"doesn't say its site: keep the names"):
        load(tmp_path / "mine")
    assert load(tmp_path / "mine", site="resid_post.0").d_in == D
    np.savez(tmp_path / "mine/params.npz", W_enc=np.array([{}], dtype=object))
    with pytest.raises(FileError, match="can't be read as arrays of numbers"):
        load(tmp_path / "mine", site="resid_post.0")


def test_the_second_is_read_with_skip_and_across_layers(tmp_path: Path) -> None:
    w = drawn(0, **SHAPES, affine=(D, D))
    params = {"w_enc": w["W_enc"], "affine_skip_connection": w["affine"]}
    params |= {name: w[name] for name in ("b_enc", "b_dec", "threshold")}
    place = tmp_path / "gemma-scope-2-1b-pt/transcoder/layer_1_width_16k_l0_small_affine"
    write_folder(place, {}, {"params.safetensors": params | {"w_dec": w["W_dec"]}})
    read = load(place)
    assert (read.reads, read.writes) == (Site(1, "mlp_in"), (Site(1, "mlp_out"),))
    torch.testing.assert_close(read.encode(X), encoded(w))
    right = encoded(w) @ w["W_dec"] + w["b_dec"] + X @ w["affine"]
    torch.testing.assert_close(read.decode(encoded(w), X), right)

    place, rows = tmp_path / "clt/width_262k", drawn(5, w_dec=(N, 3, D))["w_dec"]
    for layer in range(3):
        write_folder(place, {}, {f"params_layer_{layer}.safetensors": params | {"w_dec": rows}})
    across = load_set(place)
    assert [len(each.writes) for each in across] == [3, 2, 1] and load(place, site="mlp_in.1").name.endswith("layer_1")
    later = across[1].decode(encoded(w), X, site=Site(2, "mlp_out"))
    torch.testing.assert_close(later, encoded(w) @ rows[:, 2])  # b_dec and the skip are its own layer's
    torch.testing.assert_close(across[1].decode(encoded(w), X), encoded(w) @ rows[:, 1] + w["b_dec"] + X @ w["affine"])

    config = {"architecture": "jump_relu", "model_name": "gemma-v3-1b-pt", "hf_hook_point_in": "model.layers.7.output"}
    write_folder(tmp_path / "any", {"config.json": config}, {"params.safetensors": params | {"w_dec": w["W_dec"]}})
    assert load(tmp_path / "any").reads == Site(7, "resid_post")
    write_folder(tmp_path / "any", {"config.json": config | {"architecture": "topk"}}, {})
    with pytest.raises(FileError, match="must say the architecture 'jump_relu'"):
        load(tmp_path / "any")
