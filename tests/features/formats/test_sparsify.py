"""sparsify's files are read and written by its own code's formulas."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from acdc.errors import FileError, ModelError
from acdc.features import Site, load, save
from tests.features.formats.files import D, N, X, drawn, write_folder
from tests.features.test_dictionary import tiny_dictionary
from tests.tiny import tiny_model

CONFIG = {"activation": "topk", "num_latents": N, "k": 6, "d_in": D, "multi_topk": False, "normalize_decoder": True}


def write_sparsify(folder: Path, **config: Any) -> dict[str, Tensor]:
    """A folder as sparsify saves it; the tensors."""
    w = drawn(0, **{"encoder.weight": (N, D), "encoder.bias": (N,), "W_dec": (N, D), "b_dec": (D,)})
    w |= drawn(1, W_skip=(D, D)) if config.get("skip_connection") else {}
    settled = {"skip_connection": False, "transcode": False} | CONFIG | config
    write_folder(folder, {"cfg.json": settled}, {"sae.safetensors": w})
    return w


@pytest.mark.parametrize("activation", ["topk", "groupmax"])
@pytest.mark.parametrize("transcode", [False, True])
def test_it_computes_by_its_formula_and_is_written_back_bit_for_bit(
    tmp_path: Path, transcode: bool, activation: str
) -> None:
    folder = tmp_path / "layers.1.mlp"
    w = write_sparsify(folder, transcode=transcode, skip_connection=transcode, activation=activation)
    read = load(folder)
    assert read.writes == (Site(1, "mlp_out"),) and read.reads == Site(1, "mlp_in" if transcode else "mlp_out")
    pre = torch.relu((X if transcode else X - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"])
    if activation == "topk":
        features = torch.where(pre >= pre.topk(6, -1).values[..., -1:], pre, 0)
    else:
        groups = pre.unflatten(-1, (6, -1))
        features = torch.where(groups == groups.amax(-1, keepdim=True), groups, 0).flatten(-2)
    torch.testing.assert_close(read.encode(X), features)
    right = features @ w["W_dec"] + w["b_dec"] + (X @ w["W_skip"].T if transcode else 0)
    torch.testing.assert_close(read.decode(features, X), right)
    save(read, tmp_path / "again", format="sparsify")
    for name in ("sae.safetensors", "cfg.json"):
        before, after = ((at / name).read_bytes() for at in (folder, tmp_path / "again"))
        if name == "cfg.json":
            assert json.loads(after) == json.loads(before) | {"hookpoint": "blocks.1.hook_mlp_out"}
        else:
            assert after == before
    assert load(tmp_path / "again").reads == read.reads  # by what cfg.json says: the folder's name doesn't


def test_what_it_cant_hold_or_doesnt_say_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="can't hold features of ReLU"):
        save(tiny_dictionary(), tmp_path, format="sparsify")
    write_sparsify(tmp_path / "embed_tokens")
    with pytest.raises(FileError, match="doesn't say its site"):
        load(tmp_path / "embed_tokens")
    write_sparsify(tmp_path / "layers.0", k=7, activation="groupmax")
    with pytest.raises(FileError, match=r"k = 7 of 24 features \(groupmax\)"):
        load(tmp_path / "layers.0")
    write_sparsify(tmp_path / "layers.0", signed=True)
    with pytest.raises(FileError, match="'signed'"):
        load(tmp_path / "layers.0")
    write_sparsify(tmp_path / "layers.0.self_attn", transcode=True)
    with pytest.raises(FileError, match=r"what 'layers\.0\.self_attn' reads"):
        load(tmp_path / "layers.0.self_attn")


@pytest.mark.parametrize("module", ["mlp", "self_attn"])
def test_what_a_module_writes_is_no_site_of_a_model_that_norms_or_multiplies_it_behind(
    tmp_path: Path, module: str
) -> None:
    write_sparsify(tmp_path / f"layers.1.{module}", transcode=module == "mlp")
    for family in ("gemma2", "granite"):
        with pytest.raises(
            ModelError, match=rf"writes \(layers\.1\.{module}\), and '{family}' adds that normed or mult"
        ):
            load(tmp_path / f"layers.1.{module}", model=tiny_model(family))
    assert load(tmp_path / f"layers.1.{module}", model=tiny_model("gpt2")).writes[0].layer == 1
    behind = write_sparsify(tmp_path / "layers.1.post_feedforward_layernorm")
    assert load(tmp_path / "layers.1.post_feedforward_layernorm", model=tiny_model("gemma2")).d_in == len(
        behind["b_dec"]
    )
