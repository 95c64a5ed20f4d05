"""circuit-tracer's sets: a transcoder for each layer, or one across layers, whose decoders stay in their files."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from acdc.errors import FileError
from acdc.features import Site, load, load_set, save
from acdc.features.activations import TopK
from acdc.features.formats.tensors import LazyRows
from tests.features.formats.files import D, N, X, drawn, write_folder
from tests.tiny import tiny_model

SHAPES = {"W_enc": (N, D), "W_dec": (N, D), "b_enc": (N,), "b_dec": (D,), "W_skip": (D, D)}
CONFIG = {"model_name": "tiny", "feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}


def write_set(folder: Path, kind: str = "transcoder_set", **config: object) -> list[dict[str, Tensor]]:
    """A set of three layers as circuit-tracer saves it; the tensors."""
    layers = [drawn(i, **SHAPES) | drawn(i + 9, across=(N, 3 - i, D), threshold=(N,)) for i in range(3)]
    for i, w in enumerate(layers):
        if kind == "transcoder_set":
            own = {name: w[name] for name in SHAPES} | {"activation_function.threshold": w["threshold"]}
            write_folder(folder, {}, {f"layer_{i}.safetensors": own})
        else:
            own = {f"{name}_{i}": w[name] for name in ("W_enc", "b_enc", "b_dec", "threshold", "W_skip")}
            files = {f"W_enc_{i}.safetensors": own, f"W_dec_{i}.safetensors": {f"W_dec_{i}": w["across"]}}
            write_folder(folder, {}, files)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | {"model_kind": kind, "scan": "me/mine"} | config))
    return layers


def encoded(w: dict[str, Tensor], x: Tensor = X) -> Tensor:
    pre = x @ w["W_enc"].T + w["b_enc"]
    return pre.relu() * (pre > w["threshold"])


def test_a_set_is_read_lazily_and_written_back_bit_for_bit(tmp_path: Path) -> None:
    layers = write_set(tmp_path / "set")
    found = load_set(tmp_path / "set")
    assert [each.reads for each in found] == [Site(i, "mlp_in") for i in range(3)]
    for w, read in zip(layers, found, strict=True):
        assert isinstance(read.decoder, LazyRows) and read.model == "tiny"
        features = encoded(w)
        torch.testing.assert_close(read.encode(X), features)
        right = features @ w["W_dec"] + w["b_dec"] + X @ w["W_skip"].T
        torch.testing.assert_close(read.decode(features, X), right)
        torch.testing.assert_close(read.directions(torch.tensor([5, 2])), w["W_dec"][[5, 2]])
    save(found, tmp_path / "again", format="circuit-tracer")
    for path in (tmp_path / "set").iterdir():
        if path.suffix == ".safetensors":
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    before, after = (yaml.safe_load((tmp_path / at / "config.yaml").read_text()) for at in ("set", "again"))
    assert before == after
    with pytest.raises(FileError, match=r"holds nothing that reads mlp_in\.7: its layers are 0 to 2"):
        load(tmp_path / "set", site="mlp_in.7")


def test_a_transcoder_across_layers_adds_its_bias_once_and_is_written_back(tmp_path: Path) -> None:
    layers = write_set(tmp_path / "clt", "cross_layer_transcoder", feature_input_hook="hook_resid_mid")
    found = load_set(tmp_path / "clt")
    assert found[1].reads == Site(1, "resid_mid") and found[1].writes == (Site(1, "mlp_out"), Site(2, "mlp_out"))
    features, last = [encoded(w) for w in layers], Site(2, "mlp_out")
    right = sum(f @ w["across"][:, 2 - i] for i, (w, f) in enumerate(zip(layers, features, strict=True)))
    total = sum(each.decode(f, X, site=last) for each, f in zip(found, features, strict=True))
    torch.testing.assert_close(total, right + layers[2]["b_dec"] + X @ layers[2]["W_skip"])
    alone = load(tmp_path / "clt", site="resid_mid.1")
    assert alone.writes == found[1].writes and torch.equal(alone.encoder, found[1].encoder)
    save(found, tmp_path / "again", format="circuit-tracer")
    for i in range(3):
        for name in (f"W_enc_{i}.safetensors", f"W_dec_{i}.safetensors"):
            before, after = load_file(tmp_path / "clt" / name), load_file(tmp_path / "again" / name)
            assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_files_elsewhere_and_topk_and_the_gain_are_understood(tmp_path: Path) -> None:
    layers = write_set(tmp_path, activation="topk", k=3)
    assert load_set(tmp_path)[2].activation == TopK(3)
    write_set(tmp_path, activation="topk")
    with pytest.raises(FileError, match=r"must say k for topk, from 1 to 24, not None"):
        load_set(tmp_path)
    (tmp_path / "far").mkdir()
    w = layers[0] | {"W_enc": layers[0]["W_enc"].T.contiguous()}
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
    np.savez(tmp_path / "far/params.npz", **{name: w[name].numpy() for name in names})
    model = tiny_model("gemma2", dtype=torch.float32)
    write_set(tmp_path, transcoders=["far/params.npz", "layer_1.safetensors"], feature_input_hook="ln2.hook_normalized")
    norm = model.components.blocks[0].ln2
    before_gain = X * torch.rsqrt(X.pow(2).mean(-1, keepdim=True) + norm.eps)
    first, second = load_set(tmp_path, model=model)
    torch.testing.assert_close(first.encode(norm(X)), encoded(layers[0], before_gain), atol=1e-5, rtol=1e-5)
    assert first.skip is None and second.skip is not None


def test_what_cant_be_read_or_written_is_told(tmp_path: Path) -> None:
    write_set(tmp_path)
    found = load_set(tmp_path)
    with pytest.raises(FileError, match="a transcoder for every layer from 0"):
        save(found[1:], tmp_path / "other", format="circuit-tracer")
    with pytest.raises(FileError, match="holds one dictionary, not 3"):
        save(found, tmp_path / "other")
    (tmp_path / "layer_1.safetensors").unlink()
    with pytest.raises(FileError, match=r"each layer from 0: layer_1\.safetensors is missing"):
        load_set(tmp_path)
    for config, message in {
        "a: [": "is not YAML",
        "- a": "must hold names and their values, not a list",
        "!!python/object/apply:os.getcwd []": "is not YAML",
        yaml.safe_dump(CONFIG | {"model_kind": "crosscoder"}): "'model_kind'",
        yaml.safe_dump(CONFIG | {"model_kind": "transcoder_set", "feature_input_hook": "hook_q"}): "no site of ours",
    }.items():
        (tmp_path / "config.yaml").write_text(config)
        with pytest.raises(FileError, match=message):
            load_set(tmp_path)


def test_rows_that_arent_numbers_are_told_as_they_are_read(tmp_path: Path) -> None:
    layers = write_set(tmp_path)
    layers[0]["W_dec"][4] = float("nan")
    write_folder(tmp_path, {}, {"layer_0.safetensors": {name: layers[0][name] for name in SHAPES}})
    first = load_set(tmp_path)[0]
    assert first.directions(torch.tensor([3])).shape == (1, D)
    with pytest.raises(FileError, match="W_dec holds 16 numbers that are NaN"):
        first.directions(torch.tensor([3, 4]))
