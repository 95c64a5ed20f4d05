"""`acdc heads`, as a user types it."""

import json
from pathlib import Path

import pandas as pd
import pytest

import acdc
from acdc.cli import main


def test_it_says_which_heads_have_which_role(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["heads", "--model", "induction-compiled", "-q", "--csv", str(tmp_path / "heads.csv")]) == 0
    said = capsys.readouterr().out
    assert "induction: looks at what followed the current token's earlier occurrence\n    a1.h1 1.00" in said
    assert "name mover: not measured, no task was given" in said and "-0.00" not in said
    table = pd.read_csv(tmp_path / "heads.csv", index_col="head")
    assert len(table) == 8 and "induction" in table.roles["a1.h1"] and table.induction["a1.h1"] == pytest.approx(1)


def test_one_head_one_role_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["heads", "--model", "suppression-compiled", "--task", "suppression", "-n", "8"]
    assert main([*given, "--head", "a2.h1", "--role", "negative name mover", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (score,) = found["heads"]["a2.h1"]
    assert found["task"] == "suppression" and score["holds"] and score["score"] > 0.5
    assert main([*given, "--head", "a2.h1", "-q"]) == 0
    assert "negative name mover" in capsys.readouterr().out


def test_pairs_whose_weights_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["heads", "--model", "induction-compiled", "--composition", "--top", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["pairs"]) == 3 and {"src", "dst", "input", "score"} == set(found["pairs"][0])
    assert main(["heads", "--model", "induction-compiled", "--composition"]) == 0
    assert "above that of random heads" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--role", "inductoin"], "did you mean 'induction'"),
        (["--head", "a7.h1"], "has no head 'a7.h1'"),
        (["--composition", "--head", "a1.h1"], "--composition is about pairs"),
        (["--bos"], "name it: --task ioi"),
        (["--task", "nothing"], "unknown task"),
    ],
)
def test_mistakes_are_told(given: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["heads", "--model", "induction-compiled", *given]) == 2
    assert told in capsys.readouterr().err


def test_a_script_and_a_notebook() -> None:
    found = acdc.heads("induction-compiled", roles=["induction"])
    assert found.strongest("induction", 1)[0][0] == "a1.h1" and "a1.h1" in found._repr_html_()
