"""A dictionary is found by its files; what is wrong with a place, a file or a model is said in one line."""

import json
from pathlib import Path

import pytest
import torch

from acdc.errors import FileError, ModelError, UnknownNameError
from acdc.features import Site, load, load_set, save
from acdc.features.formats.hooks import HOOKS, hook_of, site_of
from acdc.features.sites import KINDS
from tests.features.formats.files import write_folder, write_saelens
from tests.features.test_dictionary import tiny_dictionary
from tests.tiny import tiny_model


def test_a_bundled_dictionary_is_named_alone_and_in_its_set() -> None:
    one = load("acdc-small.transcoders/mlp_in.2")
    assert one.reads == Site(2, "mlp_in")
    assert torch.equal(load("acdc-small.transcoders", site="mlp_in.2").encoder, one.encoder)
    with pytest.raises(FileError, match=r"holds 4 dictionaries \(mlp_in.0 to mlp_in.3\), and none reads mlp_in.4"):
        load("acdc-small.transcoders", site="mlp_in.4")
    with pytest.raises(FileError, match=r"'acdc-small.transcoders' has no 'mlp_in.9': it has mlp_in.0, mlp_in.1"):
        load("acdc-small.transcoders/mlp_in.9")
    with pytest.raises(FileError, match=r"'acdc-small.resid_post.1' has no 'more': it is one dictionary"):
        load("acdc-small.resid_post.1/more")


def test_a_folder_of_folders_is_read_in_the_order_of_its_sites(tmp_path: Path) -> None:
    for layer in (10, 2):
        name = f"blocks.{layer}.hook_resid_post"
        write_saelens(tmp_path / name, "standard", metadata={"hook_name": name})
    assert [each.reads.layer for each in load_set(tmp_path)] == [2, 10]
    with pytest.raises(
        FileError, match=r"looked for .*sae_weights\.safetensors \(saelens\).*name one of them"
    ) as raised:
        load(tmp_path)
    assert "blocks.10.hook_resid_post" in str(raised.value)


def test_half_precision_is_read_in_float32_or_as_asked(tmp_path: Path) -> None:
    w = write_saelens(tmp_path / "whole", "standard")
    half = {name: tensor.to(torch.bfloat16) for name, tensor in w.items()}
    write_saelens(tmp_path, "standard", dtype="bfloat16")
    write_folder(tmp_path, {}, {"sae_weights.safetensors": half})
    read = load(tmp_path)
    assert read.encoder.dtype == torch.float32 and torch.equal(read.encoder, half["W_enc"].T.float())
    kept = load(tmp_path, dtype=torch.bfloat16)
    save(kept, tmp_path / "kept")
    assert (tmp_path / "kept/sae_weights.safetensors").read_bytes() == (
        tmp_path / "sae_weights.safetensors"
    ).read_bytes()


def test_a_dictionary_of_another_model_or_site_is_refused(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    write_saelens(tmp_path, "standard")
    assert load(tmp_path, model=model).d_in == model.graph.d_model == 16
    with pytest.raises(FileError, match=r"is of the site resid_post\.1 \(blocks\.1\.hook_resid_post\), not mlp_out\.0"):
        load(tmp_path, site="mlp_out.0")
    write_saelens(tmp_path, "standard", metadata={"hook_name": "blocks.9.hook_resid_post"})
    with pytest.raises(ModelError, match=r"no site resid_post\.9: it has 3 layers, 0 to 2"):
        load(tmp_path, model=model)
    write_saelens(tmp_path, "standard", metadata={"hook_name": "somewhere"})
    assert load(tmp_path, site="resid_mid.1").reads == Site(1, "resid_mid")
    save(tiny_dictionary(d=24), tmp_path / "wide")
    with pytest.raises(ModelError, match=r"reads 24 dimensions at resid_post\.1, but 'gpt2' has 16 there"):
        load(tmp_path / "wide", model=model)


def test_another_model_of_the_same_widths_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model("gpt2")
    for layer in (0, 1):
        at = f"blocks.{layer}.hook_resid_post"
        for name in ("gpt2-small", "pythia-70m"):
            write_saelens(tmp_path / name / at, "standard", metadata={"hook_name": at, "model_name": name})
    load_set(tmp_path / "gpt2-small", model=model)
    assert not caplog.records
    load_set(tmp_path / "pythia-70m", model=model)
    (record,) = caplog.records
    assert "was trained on 'pythia-70m', and 'gpt2' is given: of another model" in record.message


def test_damaged_files_are_told(tmp_path: Path) -> None:
    w = write_saelens(tmp_path, "standard")
    w["b_enc"][3] = float("nan")
    write_folder(tmp_path, {}, {"sae_weights.safetensors": w})
    with pytest.raises(FileError, match="b_enc holds 1 numbers that are NaN or infinite"):
        load(tmp_path)
    whole = (tmp_path / "sae_weights.safetensors").read_bytes()
    (tmp_path / "sae_weights.safetensors").write_bytes(whole[:-100])
    with pytest.raises(FileError, match="damaged or cut off"):
        load(tmp_path)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(FileError, match="is not JSON"):
        load(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps([1]))
    with pytest.raises(FileError, match="no JSON object but a list"):
        load(tmp_path)


def test_places_that_hold_nothing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="there is no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileError, match="no dictionary in"):
        load_set(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="is a file; give the folder"):
        load(tmp_path / "file")
    with pytest.raises(UnknownNameError, match="did you mean 'saelens'"):
        load(tmp_path, format="saelen")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileError, match="no local folder, and the hub did not give it"):
        load("nobody/nothing/layer_1")


def test_a_repository_that_was_downloaded_is_read_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    repository, sha = tmp_path / "models--someone--saes", "0" * 40
    write_saelens(repository / "snapshots" / sha / "blocks.1" / "sae", "standard")
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(sha)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load("someone/saes/blocks.1/sae").reads == Site(1, "resid_post")
    assert len(load_set("someone/saes")) == 1
    with pytest.raises(FileError, match=r"downloaded before without 'blocks\.2', and the hub can't be asked"):
        load("someone/saes/blocks.2")


def test_names_of_sites_go_there_and_back() -> None:
    for kind in KINDS:
        assert site_of(hook_of(Site(7, kind))) == Site(7, kind)
    assert {HOOKS["hook_mlp_in"], HOOKS["hook_resid_mid"]} == {"resid_mid"}
    assert site_of("model.layers.3.self_attn.o_proj.input") == Site(3, "z")
    assert site_of("gpt_neox.layers.3") == site_of("layers.3.output") == Site(3, "resid_post")
    assert site_of("transformer.h.3.mlp") == Site(3, "mlp_out")
    assert site_of("blocks.3.attn.hook_q") is None and site_of("layers.3.post_attention_layernorm") is None
