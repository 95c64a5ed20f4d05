"""`acdc lens`: readings and trained lenses on the command line, and mistakes told in a line."""

import json
from pathlib import Path

import pytest

from acdc.cli import main

PROMPT = "Then, Mary and John went to the store. John gave a book to"
MISTAKES = {
    "lens x": "name the model (--model)",
    "lens --model acdc-small": "give either a prompt to read, or a text to train a lens on",
    "lens x --model acdc-small --train a --save b": "give either a prompt to read",
    "lens --train a --model acdc-small": "--train and --save go together",
    "lens x --model acdc-small --steps 3": "--steps can't be used without --train",
    "lens --model acdc-small --train a --save b --csv c.csv": "--csv can't be used with --train",
    "lens --model acdc-small --train a --save b --mid --positions": "--mid, --positions can't be used with --train",
    "lens x --model acdc-small --seed 1": "--seed can't be used without --train",
    "lens x --model acdc-small --draw a.gif": "the ending must be one of svg, png, pdf",
    "lens x --model acdc-small --answer Maryland": "--answer: the answer 'Maryland' is not a single token",
    "lens x --model acdc-small --tuned tests": "no tuned lens in tests",
    "lens x --model acdc-small --top 0": "top must be from 1 to the vocabulary's",
    "lens x --model acdc-smal": "acdc-small",
    "lens --train no-such.txt --save lens --model acdc-small": "can't read no-such.txt: No such file",
    "lens --train iio --save lens --model acdc-small": "unknown task 'iio': did you mean 'ioi'?",
    "lens --train random --save lens --model acdc-small --seed -1": "seed must be a whole number of at least 0",
}


def asked(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["lens", *words, "--model", "acdc-small"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_told(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    told = capsys.readouterr().err
    assert MISTAKES[words] in told and "Traceback" not in told


def test_a_prompt_is_read_layer_by_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked([PROMPT], capsys)
    assert "From resid_pre 2 on, ' Mary' is the most probable token." in found
    assert "no intervention" in found
    assert next(line for line in found.splitlines() if line.startswith("resid_post 3")).endswith("' Mary' 97%")
    other = asked(
        [PROMPT, "--answer", " John", "--csv", str(tmp_path / "a.csv"), "--draw", str(tmp_path / "a.svg")], capsys
    )
    assert "' John' is not what acdc-small says at the end." in other
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + 5 * 15 and (tmp_path / "a.svg").exists()


def test_all_positions_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    lines = asked([PROMPT, "--positions"], capsys).splitlines()
    assert lines[0].split("  ")[-1] == "resid_post 3"
    assert lines[3].split() == ["␣Mary", "␣Mary", "␣Mary", "␣Mary", "␣and", "␣and"]


def test_machines_get_everything(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(asked([PROMPT, "--json"], capsys))
    assert told["decided"] == "resid_pre 2" and told["answer"] == " Mary" and told["kind"] == "logit lens"
    assert told["rank"][-1] == [1] and told["columns"] == [" to"] and told["top"][-1][0][0][0] == " Mary"


def test_a_lens_is_trained_saved_and_read_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("Mary and John went to the store. " * 60)
    folder = str(tmp_path / "lens")
    small = ["--steps", "20", "--tokens", "64", "--length", "16"]
    found = json.loads(asked(["--train", str(tmp_path / "text.txt"), "--save", folder, *small, "--json"], capsys))
    assert all(tuned < logit for logit, tuned in zip(found["logit_lens"], found["tuned_lens"], strict=True))
    assert json.loads((tmp_path / "lens" / "config.json").read_text())["base_model_name_or_path"] == "acdc-small"
    assert asked([PROMPT, "--tuned", folder], capsys).startswith("tuned lens")


@pytest.mark.parametrize("source", ["ioi", "random"])
def test_what_teaches_little_is_warned_of(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "lens",
        "--train",
        source,
        "--save",
        str(tmp_path),
        "--model",
        "acdc-small",
        "--steps",
        "1",
        "--tokens",
        "32",
    ]
    assert main(words) == 0
    told = capsys.readouterr()
    assert {"ioi": "prompts of one task are alike", "random": "random tokens are no text"}[source] in told.err
    assert "resid_pre 3" in told.out
