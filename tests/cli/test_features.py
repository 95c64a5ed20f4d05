"""`acdc features` and `acdc feature`, as a user types them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from acdc.cli import main
from acdc.features.formats import save
from tests.features.reading.planted import planted

Said = Callable[..., str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the planted dictionary, a text, and a reading of it."""
    folder = tmp_path_factory.mktemp("features")
    save(planted().dictionary.to(torch.float32), folder / "planted")
    text = "".join(map(planted().reading.names.get, planted().corpus.clean[planted().corpus.attention].tolist()))
    (folder / "text.txt").write_text(text)
    rows = [json.dumps({"text": text[i : i + 60].rpartition(" ")[0]}) for i in range(0, 3000, 60)]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture
def said(place: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    def run(command: str, *given: str, code: int = 0) -> str:
        assert main([command, str(place / "planted"), "--out", str(place / "out"), *given]) == code
        found = capsys.readouterr()
        return found.err if code else found.out

    return run


ON_TASK = ("--model", "induction-compiled", "--task", "induction", "-n", "120", "-q")


def test_features_are_listed_and_one_is_shown_without_the_model(said: Said, place: Path, tmp_path: Path) -> None:
    token = planted().reading.names[planted().token]
    listed = said("features", *ON_TASK, "--csv", str(tmp_path / "all.csv"))
    assert f"fires on {token!r}" in listed and f"fires after {token!r}" in listed and "1 [0.8" in listed
    assert "3 of 4 features fire on induction" in listed
    assert pd.read_csv(tmp_path / "all.csv").shape == (3, 11)
    card = said("feature", "0", "3", "--html", str(tmp_path / "card.html"))
    assert f"rule: fires on {token!r}" in card and f"«{token}»" in card and "holds on other windows" in card
    assert "no rule: it never fires on this text" in card
    assert "<h2" in (tmp_path / "card.html").read_text()
    told = json.loads(said("feature", "1", "--json"))
    assert told["features"][0]["rule"]["rule"]["place"] == "after"
    file = next((place / "out").rglob("*.features.npz"))
    assert main(["feature", str(file), "0", "--examples", "0"]) == 0


def test_they_are_read_once_and_found_by_token_or_prompt(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    token = planted().reading.names[planted().token]
    first = said("features", *ON_TASK)
    monkeypatch.setattr("acdc.runs.features.reading.read_features", lambda *a, **k: pytest.fail("read again"))
    assert said("features", *ON_TASK) == first
    by_token = said("features", "--token", token).splitlines()
    assert by_token[0].split()[:2] == ["feature", "share"] and by_token[1].split()[:2] == ["0", "100%"]
    assert json.loads(said("features", "--after", token, "--json"))["features"][0]["feature"] == 1
    fires = json.loads(said("features", "--model", "induction-compiled", "--prompt", f" q{token} k", "--json"))
    assert {"feature", "position", "token", "activation"} == set(fires["features"][0])
    assert (0, token) in {(each["feature"], each["token"]) for each in fires["features"]}
    assert {each["position"] for each in fires["features"]} == {1, 2}  # the first token says nothing of the text


@pytest.mark.parametrize("name", ["text.txt", "rows.jsonl"])
def test_a_text_is_read_in_windows(said: Said, place: Path, name: str) -> None:
    given = ("--model", "induction-compiled", "--text", str(place / name), "--length", "20", "--json")
    told = json.loads(said("features", *given, "--tokens", "900"))
    assert told["about"]["corpus"] == name and told["about"]["n_tokens"] <= 900


def test_a_text_shorter_than_a_window_is_told(said: Said, place: Path, caplog: pytest.LogCaptureFixture) -> None:
    (place / "short.txt").write_text(" a b c d")
    said("features", "--model", "induction-compiled", "--text", str(place / "short.txt"), "--json")
    assert "short.txt has 4 tokens, fewer than a window: densities and rules of so few mean little" in caplog.text


@pytest.mark.parametrize(
    ("command", "given", "told"),
    [
        ("feature", ("7", *ON_TASK), "feature 7 is out of range: "),
        ("features", ("--model", "induction-compiled", "--text", "empty.txt"), "the text is empty"),
        (
            "features",
            ("--model", "acdc-small", "--task", "ioi"),
            "reads 208 dimensions at resid_post.0, but",
        ),
        ("features", ("--task", "induction"), "name the model that is to read the text"),
        ("features", ("--model", "acdc-small"), "of 'acdc-small' were not read yet"),
        ("features", ("--length", "8"), "--length can't be used without a text or a task"),
        ("features", (*ON_TASK, "--length", "8"), "--length and --tokens are about a text"),
        ("features", ("--sort", "desnity"), "did you mean 'density'"),
        ("features", ("--token", " a", "--after", " b"), "give one of them"),
        ("features", ("--prompt", " a"), "name the model that is to read the prompt"),
        ("features", (*ON_TASK, "--token", "nothing"), "no token of 'induction' is 'nothing'"),
        ("features", ("--model", "induction-compiled", "--text", "bad.jsonl"), "expected text in the column 'text'"),
    ],
)
def test_mistakes_are_told(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, given: tuple[str, ...], told: str
) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "bad.jsonl").write_text('{"words": " a b"}\n')
    monkeypatch.chdir(tmp_path)
    assert told in said(command, *given, code=2)


def test_a_dictionary_in_memory_is_read_too(tmp_path: Path) -> None:
    from acdc.runs.features.reading import read_on

    named = replace(planted().dictionary, name="mine")
    found = read_on(named, planted().model, task="induction", n=20, out=tmp_path)
    assert found.path.is_file() and found.reading.about.dictionary == "mine" and found.reading.about.n_windows == 20
