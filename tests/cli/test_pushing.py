"""`acdc push`: doses beside a control, what follows a prompt, files, and what is said of what can't be used."""

import json
from pathlib import Path

import pandas as pd
import pytest

from acdc.cli import main

SAE = "acdc-small.resid_post.1"
ON_TASK = ["push", SAE, "12", "--model", "acdc-small", "--task", "greater-than", "-n", "6"]
ON_PROMPT = ["push", SAE, "12", "--model", "acdc-small", "--prompt", "When Mary and John", "--dose", "50"]


def test_doses_stand_beside_a_control(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ON_TASK, "--dose", "20", "--dose", "0", "--out", str(tmp_path), "--quiet"]) == 0
    (record,) = tmp_path.rglob("push.json")
    assert sorted(path.name for path in record.parent.iterdir()) == ["push.csv", "push.json", "push.svg"]
    found = json.loads(record.read_text())
    own, control = found["doses"]
    assert own["pushed"] == "feature 12" and found["n_prompts"] == 6
    rows, others = own["rows"], control["rows"]
    assert [row["dose"] for row in rows] == [row["dose"] for row in others] == [None, 0, 20]
    assert rows[0] == others[0] and rows[2]["metric"] != others[2]["metric"] and rows[0]["change"]["value"] == 0
    assert rows[2]["change"]["low"] < rows[2]["change"]["value"] < rows[2]["change"]["high"]
    assert rows[2]["change"]["value"] == pytest.approx(rows[2]["metric"]["value"] - rows[0]["metric"]["value"])
    assert rows[2]["change"]["value"] == pytest.approx(sum(rows[2]["changes"]) / 6) and rows[2]["moved"]
    table = pd.read_csv(record.parent / "push.csv")
    assert len(table) == 6 and table.p.tolist() == [*found["p"]] * 2 and found["p"][0] == 1
    assert (
        "change of" in (record.parent / "push.svg").read_text()
        and "nothing pushed" in (record.parent / "push.svg").read_text()
    )
    assert "push.svg" in capsys.readouterr().out


def test_the_table_says_what_the_control_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ON_TASK, "--dose", "5", "--dose=-5", "--kind", "add", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.index("\n-5 ") < said.index("\nnothing ") < said.index("\n5 ") and "accuracy" in said
    assert "feature 12 of acdc-small.resid_post.1 (resid_post.1), by add" in said and "nothing" in said
    assert "control: feature " in said or "control: random direction of the same norm" in said


def test_what_follows_a_prompt_stands_beside_what_follows_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ON_PROMPT, "--n-tokens", "3", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    none, pushed = found["continuations"]
    assert none["dose"] is None and pushed["dose"] == 50 and none["text"] and pushed["text"] != none["text"]
    assert none["control"] == {"text": none["text"], "surprise": none["surprise"]} != pushed["control"]
    assert pushed["surprise"] > none["surprise"] > 0 and found["control"].startswith(("feature ", "random direction"))
    assert [Path(file).name for file in found["files"]] == ["push.json", "push.csv"]
    assert main([*ON_PROMPT, "--n-tokens", "3", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert repr(pushed["text"]) in said and repr(pushed["control"]["text"]) in said


@pytest.mark.parametrize(
    "words, said",
    [
        (["push", SAE, "1", "--dose", "1"], "name either a task or a prompt"),
        ([*ON_PROMPT, "--task", "ioi"], "name either a task or a prompt"),
        ([*ON_PROMPT, "-n", "4", "--task-option", "a=b"], "--n, --task-option can't be used with --prompt"),
        ([*ON_TASK, "--n-tokens", "4"], "--n-tokens can't be used with --task"),
        (ON_TASK, "give at least one dose"),
        ([*ON_TASK, "--dose", "nan"], "dose must be"),
        ([*ON_TASK, "--dose", "1", "--kind", "times"], "unknown value of kind: 'times'"),
        (["push", SAE, "600", *ON_PROMPT[3:]], "feature 600 is out of range: 'acdc-small.resid_post.1' has 512"),
        (["push", SAE, "1", "--prompt", "x", "--dose", "1"], "name the model that is to read the prompt"),
        (["push", SAE, "1", "--model", "acdc-tasks", "--prompt", "", "--dose", "1"], "the word after '--prompt' is"),
        (["push", "nowhere", *ON_PROMPT[2:]], "there is no folder 'nowhere'"),
    ],
)
def test_mistakes_are_told(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--out", str(tmp_path), "--quiet"]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
