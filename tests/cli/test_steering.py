"""`acdc steer`: a table, files, and what is said of what can't be used."""

import json
from pathlib import Path

import pytest

from acdc.cli import main
from acdc.interpret.explanation import Steering

WORDS = ["steer", "agreement", "--model", "acdc-tasks", "-n", "8", "--n-fitted", "24"]


def test_a_direction_s_doses_are_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--layer", "1", "--place", "subject", "--strengths", "1,0"]
    assert main([*WORDS, *chosen, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "resid_pre 1 at subject" in printed and "taken out" in printed and "no neutral texts" in printed
    (record,) = tmp_path.rglob("steer.json")
    assert sorted(path.name for path in record.parent.iterdir()) == ["steer.csv", "steer.json", "steer.svg"]
    found = json.loads(record.read_text())
    own, random = (Steering.model_validate(each) for each in found["steering"])
    assert own.strengths == [0.0, 1.0, None] and len(found["vector"]) == 128
    zero, one = (each.value for each in own.metric[:2])
    assert zero is not None and one is not None and one < 0 < zero == random.metric[0].value
    assert len((record.parent / "steer.csv").read_text().splitlines()) == 1 + 2 * 3


@pytest.mark.parametrize(
    "words, said",
    [
        (["--label", "colour"], "unknown label 'colour'"),
        (["--layer", "4"], "layer must be from 0 to 3 in 'acdc-tasks', not 4"),
        (["--place", "S9"], "task 'agreement' has no place 'S9'; its places are subject, link, distractor"),
        (["--strengths", "one"], "--strengths takes numbers, like -1,0,0.5,1,2, not 'one'"),
        (["--strengths", ","], "give at least one strength"),
        (["--strengths", "nan"], "strength must be"),
        (["--force"], "are about a run that is loaded again"),
    ],
)
def test_mistakes_are_told(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, *words, "--out", str(tmp_path), "--quiet"]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
