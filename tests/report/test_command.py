"""The command on a page makes the same run again."""

import shlex
from pathlib import Path

import pytest

from acdc.cli import main
from acdc.report.command import command_of
from acdc.runs.result import load_run

WAYS = {
    "plain": [],
    "options": ["--tau", "0.05", "--sweeps", "0", "--absolute", "--metric", "logit_diff", "--ablation", "zero"],
    "scored": ["--method", "eap", "--n-edges", "30", "-o", "signed=true", "--seed", "3", "--no-bos"],
}


@pytest.mark.parametrize("given", WAYS.values(), ids=WAYS)
def test_it_makes_the_same_run_again(given: list[str], tmp_path: Path) -> None:
    assert (
        main(["discover", "ioi", "--model", "acdc-small", "-n", "3", "--quiet", "--out", str(tmp_path / "a"), *given])
        == 0
    )
    first = load_run(next((tmp_path / "a").rglob("run.json")).parent)
    program, *words = shlex.split(command_of(first.record))
    assert program == "acdc" and main([*words, "--quiet", "--out", str(tmp_path / "b")]) == 0
    second = load_run(next((tmp_path / "b").rglob("run.json")).parent)
    assert second.record["fingerprint"] == first.record["fingerprint"] and second.circuit == first.circuit
    assert shlex.join(words) in (second.path / "report.html").read_text()
