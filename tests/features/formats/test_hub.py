"""Dictionaries of the Hugging Face hub through its own client, against a hub on this machine."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import constants

from acdc.cli import main
from acdc.errors import FileError
from acdc.features import Site, load, load_set
from acdc.features.formats import hub as hub_module
from acdc.features.formats.npz import MappedRows
from acdc.features.formats.tensors import LazyRows
from acdc.zoo import dictionary_path
from tests.features.formats.files import write_saelens
from tests.features.formats.hub import Hub, serving
from tests.features.formats.test_circuit_tracer import CONFIG, write_set

BELOW = "layer_{}/width_16k/average_l0_7"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repositories as others publish them."""
    folder = tmp_path_factory.mktemp("repositories")
    for layer in (0, 1):
        at = f"blocks.{layer}.hook_resid_post"
        write_saelens(folder / "saes" / at, "standard", seed=layer, metadata={"hook_name": at})
    (folder / "saes/README.md").write_text("SAEs")
    layers = write_set(folder / "set")
    (folder / "set/features").mkdir()
    (folder / "set/features/layer_0.bin").write_bytes(b"examples")
    write_set(folder / "clt", "cross_layer_transcoder")
    for layer, w in enumerate(layers):
        at = folder / "scope" / BELOW.format(layer)
        at.mkdir(parents=True)
        w = w | {"W_enc": w["W_enc"].T.contiguous()}
        names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
        np.savez(at / "params.npz", **{name: w[name].numpy() for name in names})
    return folder


@pytest.fixture
def hub(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as served:
        for name in ("saes", "set", "clt", "scope"):
            served.add(f"someone/{name}", files / name)
        template = served.address + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)  # made of the address at the start
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield served


def test_a_folder_of_a_repository_is_downloaded_once_and_no_other(hub: Hub) -> None:
    at = "someone/saes/blocks.1.hook_resid_post"
    assert load(at).reads == Site(1, "resid_post")
    assert sorted(hub.given) == [f"{at}/cfg.json", f"{at}/sae_weights.safetensors"]
    load(at, revision="main")
    assert len(hub.given) == 2
    assert [each.reads.layer for each in load_set("someone/saes")] == [0, 1]
    assert len(hub.given) == 4 and not any(path.endswith("README.md") for path in hub.given)


def test_a_set_s_layer_is_downloaded_alone(hub: Hub) -> None:
    assert load("someone/set", site="mlp_in.1").writes == (Site(1, "mlp_out"),)
    assert sorted(hub.given) == ["someone/set/config.yaml", "someone/set/layer_1.safetensors"]
    assert load("someone/clt", site="mlp_in.1").writes == (Site(1, "mlp_out"), Site(2, "mlp_out"))
    assert sorted(hub.given)[:3] == [
        f"someone/clt/{name}" for name in ("W_dec_1.safetensors", "W_enc_1.safetensors", "config.yaml")
    ]
    assert len(load_set("someone/set")) == 3 and not any(path.endswith(".bin") for path in hub.given)
    with pytest.raises(FileError, match=r"'someone/set' holds nothing that reads mlp_in\.8"):
        load("someone/set", site="mlp_in.8")


def test_a_config_s_files_are_found_in_other_repositories_and_their_rows_read_when_asked_for(
    hub: Hub, files: Path, tmp_path: Path
) -> None:
    """As mntss/gemma-scope-transcoders names Gemma Scope's files, and others' of a revision."""
    hub.add("someone/set", files / "set", "v2")
    places = [f"hf://someone/scope/{BELOW.format(0)}/params.npz", "hf://someone/set/layer_1.safetensors?revision=v2"]
    config = CONFIG | {"model_kind": "transcoder_set"}
    (tmp_path / "index").mkdir()
    (tmp_path / "index/config.yaml").write_text(yaml.safe_dump(config | {"transcoders": [*places, places[-1]]}))
    hub.add("someone/index", tmp_path / "index")
    found = load_set("someone/index@main")
    assert [each.reads for each in found] == [Site(0, "mlp_in"), Site(1, "mlp_in")]
    assert sorted(hub.given) == sorted(["someone/index/config.yaml", *(p[5:].partition("?")[0] for p in places)])
    own = load_set(files / "set")
    for each, right in zip(found, own[:2], strict=True):
        assert isinstance(each.decoder, LazyRows | MappedRows)
        torch.testing.assert_close(each.directions(torch.tensor([5, 2])), right.directions(torch.tensor([5, 2])))
    hub.given.clear()
    assert load("hf://someone/index", site="mlp_in.1").n_features == own[1].n_features
    assert hub.given == []


def test_a_revision_is_read_by_its_name(hub: Hub, tmp_path: Path) -> None:
    write_saelens(tmp_path / "old", "topk", k=2)
    hub.add("someone/saes", tmp_path / "old", "v1.0")
    assert load("someone/saes@v1.0").details == load("someone/saes", revision="v1.0").details
    with pytest.raises(FileError, match=r"someone/saes has no branch, tag or commit 'v9'"):
        load("someone/saes@v9")
    with pytest.raises(FileError, match=r"names the revision 'v1\.0', not 'main': give one of them"):
        load("someone/saes@v1.0", revision="main")


def test_what_the_hub_does_not_give_is_told(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.closed |= {"someone/private": 401, "someone/gated": 403}
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/config.json").write_text("{}")
    hub.add("someone/model", tmp_path / "plain")
    for name, message in {
        "nobody/nothing": r"there is no http.*/nobody/nothing, or it is private; check the name, or log in",
        "someone/private/layer_1": r"there is no .*, or it is private; check the name, or log in \(hf auth login\)",
        "someone/gated": r"gives access on request; ask at http.*/someone/gated, and log in",
        "someone/scope/layer_1": r"no dictionary in 'layer_1': name one of layer_1/width_16k/average_l0_7$",
        "someone/saes/blocks.1.hook_resid_pos": r"did you mean 'blocks\.1\.hook_resid_post'\?",
        "someone/model": "has no dictionary at its top, nor anywhere else",
        "some one/saes": "there is no folder 'some one/saes'",
    }.items():
        with pytest.raises(FileError, match=message):
            load(name)
    for place, message in {
        "hf://someone/set/layer_9.safetensors": r"someone/set on the hub has no file 'layer_9\.safetensors'",
        "hf://a": "'hf://a' must be a file on the hub: hf://owner/repository/path",
    }.items():
        config = CONFIG | {"model_kind": "transcoder_set", "transcoders": [place]}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        with pytest.raises(FileError, match=message):
            load_set(tmp_path)


def test_without_a_way_to_the_hub_a_whole_copy_is_read_and_else_it_is_told(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = "someone/saes/blocks.1.hook_resid_post"
    load(at)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert load(at).reads == Site(1, "resid_post")
    with pytest.raises(FileError, match=r"no way to http://127\.0\.0\.1:9 \(.*\), and no whole copy was downloaded"):
        load("someone/set")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileError, match="HF_HUB_OFFLINE is set, and no whole copy was downloaded before"):
        load("someone/set")


def test_a_large_download_is_told_before_it_begins(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hub_module, "LARGE", 1)
    load_set("someone/clt")
    assert [record.message for record in caplog.records] == ["downloading 7 files (0.0 GB) of someone/clt"]
    load_set("someone/clt")
    assert len(caplog.records) == 1


def test_the_command_line_reads_it_too(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.add("someone/small", dictionary_path("acdc-small.resid_post.1"), "v1")
    words = ["push", "12", "--model", "acdc-small", "--prompt", "a", "--dose", "9", "--n-tokens", "1"]
    assert main([words[0], "someone/small@v1", *words[1:], "--out", str(tmp_path)]) == 0
    assert "feature 12 of someone/small@v1, by clamp" in capsys.readouterr().out
