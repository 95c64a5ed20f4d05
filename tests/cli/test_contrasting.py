"""`acdc contrast`: features that tell two files, or wrong answers from right ones, with their rules and their test."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from acdc.cli import main
from acdc.features.formats import save
from acdc.features.reading import save_reading
from tests.features.reading.planted import ON, planted

SAE = "acdc-small.resid_post.1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted dictionary, and two files of prompts: with its token, a prompt a line, and without, in rows."""
    model, dictionary, corpus, token, _ = planted()
    folder = tmp_path_factory.mktemp("contrast")
    save(dictionary, folder / "planted")
    has = ((corpus.clean == token) & corpus.attention & (corpus.position_ids > 0)).any(1).tolist()
    rows = [ids[-n:] for ids, n in zip(corpus.clean.tolist(), corpus.lengths.tolist(), strict=True)]
    texts = [model.tokenizer.decode(row) for row in rows]
    yes, no = ([text for text, there in zip(texts, has, strict=True) if there is side] for side in (True, False))
    (folder / "with.txt").write_text("\n\n".join([*yes, yes[0], "\r"]))
    (folder / "without.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in [*no, yes[1]]))
    (folder / "few.txt").write_text("\n".join(no[:4]))
    return folder


def words_of(place: Path, *files: str) -> list[str]:
    paths = [str(place / file) for file in files]
    return ["contrast", str(place / "planted"), *paths, "--model", "induction-compiled", "--dtype", "float64"]


def test_the_planted_feature_tells_the_files_apart(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*words_of(place, "with.txt", "without.jsonl"), "--out", str(tmp_path)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "1 prompts that come again" in said and "1 prompts that both files hold were left out" in said
    assert "rules: none, for the features were not read" in said
    (record,) = tmp_path.rglob("contrast.json")
    found = json.loads(record.read_text())
    own = next(row for row in found["features"] if row["feature"] == ON)
    assert own["holds"] and own["second"] == {"fires": 0, "mean": 0} and own["fires"]["low"] > 0 and own["rule"] is None
    assert own["peaks"] == [[planted().reading.names[planted().token], 1.0]] and found["ablated"] is None
    assert len(pd.read_csv(record.parent / "contrast.csv")) == len(found["features"])
    page = (record.parent / "report.html").read_text()
    assert f"feature {ON}</h3>" in page and "then the texts" not in page and "<script" not in page
    (tmp_path / "features").mkdir()
    save_reading(planted().reading, tmp_path / "features" / "planted.features.npz")
    assert main([*words, "--ablate"]) == 0
    said = capsys.readouterr().out
    assert f"fires on {planted().reading.names[planted().token]!r}" in said and "KL of the next token" in said
    (ablated,) = (path for path in tmp_path.rglob("contrast.csv") if path.parent != record.parent)
    table = pd.read_csv(ablated).set_index("feature")
    assert table.ablated_kl[ON] > 0 and table.ablated_in[ON] == "first" and table.rule[ON].startswith("fires on")
    each = pd.read_csv(ablated.parent / "ablated.csv")
    assert str(ON) in each.name.astype(str).tolist() and each.name.iloc[-1].startswith("all ")
    page = (ablated.parent / "report.html").read_text()
    assert "Ablated, on held-out prompts" in page and "then the texts" in page


def test_wrong_answers_stand_against_right_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sae = "acdc-tasks.resid_post.1"
    words = ["contrast", sae, "--model", "acdc-tasks", "--task", "arithmetic", "--wrong-against-right", "-n", "120"]
    assert main([*words, "--by", "top1_accuracy", "--ablate", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sets"] == ["arithmetic, answered wrong", "arithmetic, answered right"]
    assert sum(found["n_prompts"]) <= 120 and found["metric"] == "logit_diff"
    assert found["held_out"]["n_first"] == int(np.ceil(found["n_prompts"][0] / 2))
    assert found["ablated"] is not None


def test_the_worst_prompts_stand_against_the_best_where_hardly_any_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["contrast", SAE, "--model", "acdc-small", "--task", "ioi", "--wrong-against-right", "-n", "60"]
    assert main([*words, "--by", "metric", "--metric", "nll", "--ablate", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sets"] == [f"ioi, the quarter with the {what} nll" for what in ("worst", "best")]
    assert found["n_prompts"][0] == found["n_prompts"][1] <= 15


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "name two files of prompts, or a task"),
        (["a.txt", "b.txt", "--task", "ioi"], "name either two files of prompts or a task"),
        (["a.txt", "b.txt", "--wrong-against-right"], "--task and --wrong-against-right go together"),
        (["--task", "ioi"], "--task and --wrong-against-right go together"),
        (["a.txt", "b.txt", "--task-option", "a=1"], "--task-option, --by and --metric are about a task's prompts"),
        (["a.txt", "a.txt"], "both sets are 'a.txt'"),
        (["few.txt", "with.txt"], "the first set has 4 prompts; 10 at least are needed"),
        (["empty.txt", "with.txt"], "empty.txt has no prompts"),
        (["bad.jsonl", "with.txt"], "expected prompts in the column 'text'"),
        (["nowhere.txt", "with.txt"], "nowhere.txt"),
        (["few.txt", "with.txt", "--where", "first"], "unknown value of where"),
        (["few.txt", "with.txt", "--top", "0"], "top must be"),
        (["few.txt", "with.txt", "--by", "metric"], "--task-option, --by and --metric are about a task's prompts"),
        (["--task", "ioi", "--wrong-against-right", "--by", "luck"], "unknown value of by: 'luck'"),
    ],
)
def test_mistakes_are_told(
    place: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    (place / "empty.txt").write_text("\n")
    (place / "bad.jsonl").write_text('{"words": "a b"}\n')
    (place / "a.txt").write_text("a b\n")
    assert main([*words_of(place), *words, "--quiet"]) == 2
    assert said in capsys.readouterr().err
    assert not (place / "outputs").exists()


@pytest.mark.parametrize(
    "task, by, said",
    [
        ("ioi", "accuracy", "of 30 prompts of task 'ioi' wrong; 10 at least are needed: take more"),
        ("ioi", "metric", "a quarter of 30 prompts of task 'ioi' is 7; 10 at least are needed: take more"),
        ("induction", "metric", "metric 'logit_diff' needs wrong answers, and task 'induction' lists none"),
    ],
)
def test_what_cannot_be_compared_is_told(
    task: str, by: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["contrast", SAE, "--model", "acdc-small", "--task", task, "--wrong-against-right", "-n", "30", "--by", by]
    assert main([*words, *(["--metric", "logit_diff"] if task == "induction" else []), "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
