"""dictionary_learning's files: tensors alone, by the formulas of its classes."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from acdc.errors import FileError
from acdc.features import Site, load, save
from tests.features.formats.files import D, N, X, drawn

LINEAR = {"encoder.weight": (N, D), "decoder.weight": (D, N)}
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "AutoEncoder": LINEAR | {"encoder.bias": (N,), "bias": (D,)},
    "AutoEncoderNew": LINEAR | {"encoder.bias": (N,), "decoder.bias": (D,)},
    "GatedAutoEncoder": LINEAR | {"r_mag": (N,), "gate_bias": (N,), "mag_bias": (N,), "decoder_bias": (D,)},
    "AutoEncoderTopK": LINEAR | {"encoder.bias": (N,), "b_dec": (D,)},
    "BatchTopKSAE": LINEAR | {"encoder.bias": (N,), "b_dec": (D,)},
    "MatryoshkaBatchTopKSAE": {"W_enc": (D, N), "W_dec": (N, D), "b_enc": (N,), "b_dec": (D,)},
    "JumpReluAutoEncoder": {"W_enc": (D, N), "W_dec": (N, D), "b_enc": (N,), "b_dec": (D,), "threshold": (N,)},
}


def write_folder(folder: Path, name: str, tensors: dict[str, Tensor], **trainer: object) -> None:
    """A folder as dictionary_learning saves it."""
    folder.mkdir(exist_ok=True, parents=True)
    torch.save(tensors, folder / "ae.pt")
    own = {"dict_class": name, "layer": 1, "lm_name": "tiny", "submodule_name": "resid_post_layer_1", "k": 4} | trainer
    (folder / "config.json").write_text(json.dumps({"trainer": own, "buffer": {"ctx_len": 128}}))


def tensors_of(name: str) -> dict[str, Tensor]:
    scalars = {"k": torch.tensor(4, dtype=torch.int), "threshold": torch.tensor(0.75)}
    return drawn(0, **SHAPES[name]) | (scalars if "TopK" in name else {})


def encoded(name: str, w: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Features and reconstruction by the classes' own formulas."""
    encoder = w["encoder.weight"].T if "encoder.weight" in w else w["W_enc"]
    b_dec = next(w[key] for key in ("bias", "decoder.bias", "decoder_bias", "b_dec") if key in w)
    x = X if name in ("AutoEncoderNew", "JumpReluAutoEncoder") else X - b_dec
    if name == "GatedAutoEncoder":
        pre = x @ encoder
        features = ((pre + w["gate_bias"]) > 0) * torch.relu(w["r_mag"].exp() * pre + w["mag_bias"])
    else:
        pre = x @ encoder + (w["encoder.bias"] if "encoder.bias" in w else w["b_enc"])
        features = pre.relu()
        if name == "AutoEncoderTopK":
            features = torch.where(pre >= pre.topk(4, -1).values[..., -1:], features, 0)
        elif "threshold" in w:
            features = features * (features > w["threshold"])
    decoder = w["decoder.weight"].T if "decoder.weight" in w else w["W_dec"]
    return features, features @ decoder + b_dec


@pytest.mark.parametrize("name", SHAPES)
def test_every_class_computes_by_its_formula_and_is_written_back(tmp_path: Path, name: str) -> None:
    w = tensors_of(name)
    write_folder(tmp_path / "sae", name, w)
    read = load(tmp_path / "sae")
    features, right = encoded(name, w)
    assert read.reads == Site(1, "resid_post") and read.model == "tiny"
    torch.testing.assert_close(read.encode(X), features)
    torch.testing.assert_close(read.decode(features), right)
    save(read, tmp_path / "again", format="dictionary_learning")
    again = torch.load(tmp_path / "again/ae.pt", weights_only=True)
    if name != "MatryoshkaBatchTopKSAE":  # which is a BatchTopKSAE with its parts in another order
        assert again.keys() == w.keys() and all(torch.equal(again[key], w[key]) for key in w)
        before, after = (json.loads((tmp_path / at / "config.json").read_text()) for at in ("sae", "again"))
        assert before["trainer"].items() <= after["trainer"].items() and before["buffer"] == after["buffer"]
    assert torch.equal(load(tmp_path / "again").encode(X), read.encode(X))


def test_a_pickle_with_objects_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, "AutoEncoder", {})
    torch.save(torch.nn.Linear(2, 2), tmp_path / "ae.pt")
    with pytest.raises(FileError, match=r"nothing else of a torch file is read: it holds an object of 'torch\.nn"):
        load(tmp_path)
    torch.save({"encoder.weight": [1, 2]}, tmp_path / "ae.pt")
    with pytest.raises(FileError, match="must hold tensors by their names, and nothing else"):
        load(tmp_path)
    (tmp_path / "ae.pt").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(FileError, match="is damaged"):
        load(tmp_path)


def test_what_isnt_there_or_known_is_told(tmp_path: Path) -> None:
    w = tensors_of("AutoEncoder")
    write_folder(tmp_path, "AutoEncoder", {key: value for key, value in w.items() if key != "bias"})
    with pytest.raises(FileError, match=r"holds no tensor 'bias'; it has encoder\.weight"):
        load(tmp_path)
    write_folder(tmp_path, "CrossCoder", w)
    with pytest.raises(FileError, match="'CrossCoder' isn't read here"):
        load(tmp_path)
    write_folder(tmp_path, "AutoEncoder", w, submodule_name=None)
    with pytest.raises(FileError, match="doesn't say its site"):
        load(tmp_path)
    assert load(tmp_path, site="attn_out.1").reads == Site(1, "attn_out")
    write_folder(tmp_path, "AutoEncoderTopK", tensors_of("AutoEncoderTopK") | {"k": torch.tensor(99)})
    with pytest.raises(FileError, match="must hold k, from 1 to 24"):
        load(tmp_path)
