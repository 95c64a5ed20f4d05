"""The program as several processes: one voice, the files of one process, and the same run."""

import json
from pathlib import Path

import pytest

from tests.ranks.starting import run_together

RUN = ("discover", "ioi", "--model", "acdc-small", "--method", "eap", "-n", "5", "--dtype", "float64", "--json")


@pytest.mark.slow
def test_a_run_and_its_evaluation_are_those_of_one_process(tmp_path: Path) -> None:
    told = {}
    for n in (1, 2):
        done = run_together(n, "tests.ranks.command", *RUN, "--out", str(tmp_path / str(n)))
        assert [process.returncode for process in done] == [0] * n, done
        assert [process.stdout for process in done[1:]] == [""] * (n - 1)
        run = json.loads(done[0].stdout)
        asked = ("evaluate", run["path"], "--only", "faithfulness", "--only", "certificate", "-n", "5", "--json")
        done = run_together(n, "tests.ranks.command", *asked)
        assert [process.returncode for process in done] == [0] * n, done
        told[n] = run, json.loads(done[0].stdout), (Path(run["path"]) / "circuit.json").read_bytes()
    (run, evaluation, circuit), (other_run, other_evaluation, other_circuit) = told[1], told[2]
    assert (run["fingerprint"], circuit) == (other_run["fingerprint"], other_circuit)
    for part in evaluation["parts"].values():
        del part["seconds"]
    for part in other_evaluation["parts"].values():
        del part["seconds"]
    assert evaluation["parts"] == other_evaluation["parts"]
    assert len(list(tmp_path.glob("2/*/*/*/*/run.json"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("discover", "ioi", "--method", "eapp"), "unknown method 'eapp'"),
        ((*RUN, "-o", "n_edges=100000"), "n_edges must be from 1"),
        (("methods",), "several processes share the work of discover and evaluate only"),
    ],
)
def test_a_mistake_is_told_once(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    place = ("--out", str(tmp_path)) if words[0] == "discover" else ()
    first, second = run_together(2, "tests.ranks.command", *words, *place)
    assert [line for line in first.stderr.splitlines() if message in line]
    assert (first.returncode, second.returncode, second.stdout + second.stderr) == (2, 2, "")
