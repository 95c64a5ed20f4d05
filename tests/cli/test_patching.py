"""`acdc patch` and `acdc path`: tables, files, and what is said of what can't be used."""

import json
from pathlib import Path

import pytest

from acdc.cli import main
from acdc.interpret.explanation import PatchingMap

PAIR = ["The capital of France is", "The capital of Spain is", "--answer", " Paris", "--wrong", " Madrid"]
MODEL = ["--model", "acdc-tasks"]


def run(words: list[str], out: Path) -> int:
    return main([*words, "--out", str(out), "--quiet"])


def test_one_pair_s_maps_are_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["patch", *PAIR, *MODEL, "--sites", "resid_pre,z", "--direction", "denoising", "--top", "2"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "share is of this difference" in printed
    assert ", 4:is" in printed
    assert "a1.h" in printed
    (record,) = tmp_path.rglob("maps.json")
    found = json.loads(record.read_text())
    for each in found["maps"]:
        PatchingMap.model_validate(each, strict=False)
    assert [each["site"] for each in found["maps"]] == ["resid_pre", "z"]
    assert found["arguments"]["metric"] == "logit_diff"
    assert sorted(path.suffix for path in record.parent.iterdir()) == [".csv", ".json", ".svg", ".svg"]
    assert len((record.parent / "cells.csv").read_text().splitlines()) == 1 + 5 * 5 + 4 * 4


def test_several_metrics_share_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["patch", *PAIR, *MODEL, "--sites", "mlp_out", "--direction", "noising", "--metric", "kl"]
    assert main([*words, "--metric", "prob_diff", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "kl: clean 0, corrupted" in printed and "prob_diff: clean" in printed
    (record,) = tmp_path.rglob("maps.json")
    assert [each["metric"] for each in json.loads(record.read_text())["maps"]] == ["kl", "prob_diff"]
    assert len(list(record.parent.glob("*.svg"))) == 2


def test_named_nodes_and_edges_have_rows_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["patch", *PAIR, *MODEL, "--nodes", "a1.h0,m3", "--edges", "input->a1.h0<v>", "--direction", "noising"]
    assert main([*words, "--out", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["maps"]
    assert found["rows"] == ["a1.h0", "m3", "input->a1.h0<v>", "all together"]
    assert all(0 < row[0] < 2 for row in found["values"][:2])


def test_paths_of_a_task_are_mapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["path", "--task", "capitals", *MODEL, "--n", "3", "--receivers", "logits", "--direction", "noising"]
    assert main([*words, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["maps"][0]["site"] == "paths through MLPs to logits"
    assert found["arguments"]["n"] == 3


def test_a_prompt_is_traced_by_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["patch", PAIR[0], "--noise", "--subject", "France", "--answer", " Paris", *MODEL, "--window", "2"]
    assert main([*words, "--samples", "3", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["site"] for each in found["maps"]] == ["resid_pre", "mlp_out (2 layers)", "attn_out (2 layers)"]
    assert found["arguments"]["skipped"] == []
    assert found["maps"][0]["metric"] == "probability"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["patch", *PAIR], "name the model"),
        (["patch", PAIR[0], *MODEL], "needs --corrupt"),
        (["patch", *PAIR, "--task", "ioi", *MODEL], "stand for a task"),
        (["patch", *PAIR, *MODEL, "--sites", "resid"], "unknown site 'resid'"),
        (["patch", *PAIR, *MODEL, "--direction", "denoise"], "unknown direction"),
        (["patch", *PAIR, *MODEL, "--nodes", "a9.h9"], "unknown node that writes 'a9.h9'"),
        (["patch", *PAIR, *MODEL, "--subject", "France"], "give --noise too"),
        (["patch", PAIR[0], "--noise", "--answer", " Paris", *MODEL], "--subject"),
        (["patch", *PAIR, *MODEL, "--noise", "--subject", "France"], "CORRUPT, --wrong can't be given"),
        (["patch", PAIR[0], "--noise", "--subject", "Peru", "--answer", " Paris", *MODEL], "'Peru' does not occur"),
        (["patch", PAIR[0], "--noise", "--subject", "France", "--answer", " Rome", *MODEL], "wrongly"),
        (["patch", *PAIR, *MODEL, "--nodes", "m3", "--window", "2"], "--window can't be given"),
        (["patch", *PAIR, *MODEL, "--samples", "2"], "give --noise too"),
        (["path", *PAIR, *MODEL], "--receivers"),
        (["path", *PAIR, *MODEL, "--receivers", "a1.h0<x>"], "unknown node that reads"),
    ],
)
def test_mistakes_are_told(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words, tmp_path) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))
