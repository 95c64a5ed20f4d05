"""One pair of prompts given on the command line: found, kept in the run, and there again."""

import json
from pathlib import Path

import pytest

from acdc.cli import main
from acdc.runs.discover import load_run

PAIR = ["--clean", "The capital of France is", "--corrupt", "The capital of Spain is"]
ANSWERS = ["--answer", " Paris", "--wrong", " Madrid", "--wrong", " Rome"]
MODEL = ["--model", "acdc-tasks", "--method", "eap"]


def test_a_pair_is_found_and_evaluated_and_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path), "--json"]
    assert main(["discover", *PAIR, *ANSWERS, *MODEL, *out]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "the-capital-of-france-is" in found["path"]
    assert found["metrics"]["n_prompts"] == 1 and found["metrics"]["accuracy"]["model"] == 1
    row = json.loads((Path(found["path"]) / "prompts.jsonl").read_text().splitlines()[0])
    assert (row["correct"], row["wrong"]) == ([" Paris"], [" Madrid", " Rome"])
    assert main(["evaluate", found["path"], "--only", "faithfulness", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["parts"]["faithfulness"]["n_prompts"] == 1
    assert main(["show", found["path"]]) == 0
    assert "' Paris'" in capsys.readouterr().out
    assert load_run(found["path"]).circuit.n_edges == found["metrics"]["n_edges"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ioi", *PAIR], "--clean, --corrupt give a pair of prompts instead of the task 'ioi'"),
        (PAIR, "a pair of prompts needs --answer too"),
        (PAIR[:2], "a pair of prompts needs --corrupt (its twin) and --answer too"),
        ([*PAIR, *ANSWERS], "name the model whose answers"),
        ([*PAIR, "--answer", "Paris", *MODEL], "did you mean ' Paris', with the space before it?"),
        ([*PAIR[:2], "--corrupt", PAIR[1], *ANSWERS, *MODEL], "identical up to the target"),
    ],
)
def test_what_is_missing_is_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", *words]) == 2
    assert message in capsys.readouterr().err


def test_sides_of_different_lengths_are_shown_in_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["discover", "--clean", "The capital of France", "--corrupt", "The capital France", *ANSWERS, *MODEL]) == 2
    )
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "  clean     |The| capital| of| France|",
        "  corrupted |The| capital|   | France|",
        "                          ^^^",
    ]
