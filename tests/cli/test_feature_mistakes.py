"""What every command says of a dictionary, a feature or a prompt that can't be used: one line, before long work."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acdc.cli import main
from acdc.features import Dictionary, Site, load, save
from acdc.features.activations import ReLU
from tests.cases import covering

SAE, MODEL = "acdc-small.resid_post.1", ["--model", "acdc-small"]
LONG = " ".join(["Mary and John"] * 30)


def narrow(folder: Path) -> None:
    weights = torch.zeros(4, 8), torch.zeros(4), torch.zeros(4, 1, 8), torch.zeros(1, 8)
    save(Dictionary("narrow", Site(1, "resid_post"), (Site(1, "resid_post"),), *weights, ReLU()), folder)


def behind(folder: Path) -> None:
    save(replace(load(SAE), reads=Site(99, "resid_post"), writes=(Site(99, "resid_post"),)), folder)


def of_nan(folder: Path) -> None:
    sae = load(SAE)
    save(replace(sae, b_enc=torch.full_like(sae.b_enc, float("nan"))), folder)


def cut(folder: Path) -> None:
    weights = save(load(SAE), folder) / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def config(**entries: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        path = save(load(SAE), folder) / "cfg.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    return write


BAD = {
    "reads 8 dimensions at resid_post.1, but 'acdc-small' has 128 there": narrow,
    "'acdc-small' has no site resid_post.99: it has 4 layers, 0 to 3": behind,
    "b_enc holds 512 numbers that are NaN or infinite": of_nan,
    "sae_weights.safetensors is damaged or cut off": cut,
    "cfg.json asks for k = 600 of 512 features": config(k=600),
    "doesn't say its site; if you know it, give it: site='resid_post.5' (--site": config(metadata={}),
    "no dictionary in": lambda folder: folder.mkdir(),
    "is a file; give the folder that holds it": lambda folder: folder.write_text(""),
}


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must end in a line and without a file."""

    def run(*words: str) -> str:
        out = tmp_path / "out"
        assert main([*words, *MODEL, "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said and not out.exists()
        return said

    return run


COMMANDS = {
    "features": "DICT --text a.txt",
    "feature": "DICT 3 --text a.txt",
    "push": "DICT 3 --prompt Mary --dose 1",
    "contrast": "DICT a.txt b.txt",
    "feature-circuit": "ioi --dictionary DICT -n 2",
    "trace": "Mary --dictionary DICT",
}


@pytest.mark.parametrize(("said", "command"), covering(BAD, COMMANDS))
def test_a_dictionary_that_cant_be_used_is_told_by_every_command(
    said: str, command: str, refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BAD[said](tmp_path / "bad")
    for file, name in (("a.txt", "Mary"), ("b.txt", "John")):
        (tmp_path / file).write_text("".join(f"{name} went to the {i}\n" for i in range(12)))
    monkeypatch.chdir(tmp_path)
    assert said in refused(command, *COMMANDS[command].replace("DICT", "bad").split())


def test_a_name_that_can_be_no_dictionary_s_is_told_before_the_model_is_loaded(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acdc.runs.model_spec.ModelSpec.load", lambda spec: pytest.fail("the model was loaded"))
    for words in (
        "push nowhere 3 --prompt a --dose 1",
        "feature-circuit ioi --dictionary nowhere",
        "trace a --dictionary nowhere",
    ):
        assert "there is no folder 'nowhere'" in refused(*words.split())


def test_prompts_and_features_out_of_bounds_are_told(refused: Callable[..., str]) -> None:
    for words in (
        ["features", SAE, "--prompt", LONG],
        ["push", SAE, "3", "--prompt", LONG, "--dose", "1"],
        ["trace", LONG],
    ):
        assert "longer than the context of 'acdc-small' (64 tokens); use shorter prompts" in refused(*words)
    many = "9" * 30
    assert f"feature {many} is out of range: '{SAE}' has 512 features, 0 to 511" in refused(
        "push", SAE, many, "--prompt", "Mary", "--dose", "1"
    )
    assert "Input should be a valid number" in refused("push", SAE, "3", "--prompt", "Mary", "--dose", "five")
    assert "must end in its layer, like resid_post.0" in refused(
        "features", SAE, "--prompt", "a", "--site", "resid_post"
    )
    assert "did you mean the bundled 'acdc-small.resid_post.1'?" in refused(
        "features", f"{SAE[:-2]}.11", "--prompt", "a"
    )
