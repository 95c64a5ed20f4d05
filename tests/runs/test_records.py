"""Damaged runs: one line that says what is wrong, never a traceback; and the list of runs, good and bad."""

import contextlib
import copy
import dataclasses
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acdc import discover, load_run
from acdc.cli import main
from acdc.errors import ACDCError, FileError
from acdc.runs.catalog import list_runs
from acdc.runs.checkpoint import FileCheckpoint
from acdc.runs.result import RunResult
from tests.runs.test_discover import Copy, stop_after
from tests.tiny import tiny_model

FUZZ = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["\x1b[31m", "\ud800", "../../x", "a" * 2000, [], {}, [[[]]], {"model": 1}, 10**400, 1e308]),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return discover(tiny_model("gpt2"), Copy, n=4, tau=0.02, out=tmp_path_factory.mktemp("runs"))


def mutated(value: Any, rng: random.Random, new: Any) -> Any:
    """A value somewhere in it replaced, renamed or taken away."""
    value = copy.deepcopy(value)
    place, path = value, []
    while isinstance(place, dict | list) and place and (not path or rng.random() < 0.8):
        keys = list(place) if isinstance(place, dict) else range(len(place))
        path.append((place, rng.choice(keys)))
        place = place[path[-1][1]]
    if not path:
        return new
    parent, key = path[-1]
    if rng.random() < 0.3 and isinstance(parent, dict):
        parent[str(new)] = parent.pop(key)
    elif rng.random() < 0.3:
        del parent[key]
    else:
        parent[key] = new
    return value


def check_damage(run: RunResult, name: str, seed: int, new: Any) -> None:
    """Read with a changed file, it is refused in a line or works in full."""
    path, rng = run.path / name, random.Random(seed)
    content = path.read_bytes()
    try:
        damaged = json.dumps(mutated(json.loads(content), rng, new)).encode()
        if rng.random() < 0.2:
            at = rng.randrange(len(damaged))
            damaged = damaged[:at] + rng.randbytes(rng.randrange(4)) + damaged[at + rng.randrange(4) :]
        path.write_bytes(damaged)
        with contextlib.suppress(ACDCError):
            try:
                found = load_run(run.path)
            except ACDCError as error:
                assert "\n" not in str(error) and "\x1b" not in str(error) and len(str(error)) < 1500
                raise
            text = f"{found.summary()}{found.predictions()}"
            assert "\x1b" not in text
            text.encode()
            json.dumps(found.to_dict())
            assert all(file.parent == run.path for file in found.files)
            list_runs(run.path)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["run.json", "metrics.json"])
@settings(max_examples=30, **FUZZ)
@given(seed=st.integers(0, 10**6), new=VALUES)
def test_a_damaged_run_is_refused_in_a_line_or_read(run: RunResult, name: str, seed: int, new: Any) -> None:
    check_damage(run, name, seed, new)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.json", "metrics.json"])
@settings(max_examples=400, **FUZZ)
@given(seed=st.integers(0, 10**6), new=VALUES)
def test_no_damage_to_a_run_gives_a_traceback(run: RunResult, name: str, seed: int, new: Any) -> None:
    check_damage(run, name, seed, new)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("run.json", '"n": 4', '"n": "x"', "run.json is damaged: 'arguments.n': input should be a valid integer"),
        ("run.json", '"n": 4', '"n": 4, "n": 5', "run.json is damaged: it has the key 'n' twice"),
        ("run.json", '"run.json"', '"../../x"', "must be names of files of this folder"),
        ("run.json", '"total"', '"totel"', "run.json is damaged: 'seconds.total': field required"),
        ("metrics.json", '"logit_diff": {', '"logit_dif": {', "the means of its metric 'logit_diff' are missing"),
        (
            "metrics.json",
            '"n_seen": 0',
            '"n_seen": NaN',
            "metrics.json is damaged: it is not JSON: NaN is not a number",
        ),
    ],
)
def test_the_field_that_is_wrong_is_named(run: RunResult, name: str, old: str, new: str, message: str) -> None:
    path = run.path / name
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    try:
        with pytest.raises(FileError, match=message):
            load_run(run.path)
    finally:
        path.write_text(content)


def test_runs_are_listed_newest_first_with_unfinished_and_damaged_ones(
    run: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "copy" / "gpt2" / "acdc"
    shutil.copytree(run.path, runs / "20300101T000000Z-newest")
    shutil.copytree(run.path, runs / "20290101T000000Z-damaged")
    (runs / "20290101T000000Z-damaged" / "run.json").write_text("{}")
    with pytest.raises(KeyboardInterrupt):
        discover(tiny_model("gpt2"), Copy, n=4, tau=0.01, out=tmp_path, progress=stop_after(3))
    with FileCheckpoint(next(runs.glob("*/checkpoint.jsonl")), json.loads(_header(runs))["fingerprint"]):
        assert [each.state for each in list_runs(tmp_path)] == ["finished", "damaged", "running"]
    found = list_runs(tmp_path)
    assert [each.state for each in found] == ["finished", "damaged", "unfinished"]
    assert {(each.task, each.model, each.method) for each in found} == {("copy", "gpt2", "acdc")}
    assert found[0].n_edges == run.circuit.n_edges and found[0].faithfulness == run.metrics["faithfulness"]
    assert "field required" in found[1].why
    assert main(["runs", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.index("0Z-newest") < printed.index("0Z-damaged") and "  unfinished" in printed
    assert run.metrics["no_meaning"] == found[0].no_meaning and "(no meaning)" in printed, "as everywhere"
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert [each["state"] for each in json.loads(capsys.readouterr().out)] == [each.state for each in found]
    assert main(["runs", str(tmp_path / "nowhere")]) == 2


def _header(runs: Path) -> str:
    line = next(runs.glob("*/checkpoint.jsonl")).read_text().splitlines()[0]
    return json.dumps(json.loads(line)[1])


def test_show_says_which_run_it_shows(run: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("20300101T000000Z-b", "20290101T000000Z-a"):
        shutil.copytree(run.path, tmp_path / name)
    assert main(["show", str(tmp_path)]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"{tmp_path / '20300101T000000Z-b'} (the newest of 2 runs)"


def test_the_summary_names_the_strongest_heads_and_mlps(run: RunResult) -> None:
    line = next(line for line in run.summary().splitlines() if line.startswith("  strongest"))
    scores, mask = run.circuit.scores.abs().nan_to_num(0), run.circuit.mask
    totals = dict(zip(run.circuit.graph.sources, (scores * mask).sum(1).tolist(), strict=True))
    del totals["input"]
    assert "strongest" in run._repr_html_() and "copy on gpt2" in run._repr_html_()
    names = line.split("strongest")[1].split("(")[0].replace(",", "").split()
    assert names[0] == max(totals, key=totals.get) and len(names) <= 6
    assert [totals[name] for name in names] == sorted((totals[name] for name in names), reverse=True)


def test_a_request_to_end_is_obeyed_as_ctrl_c_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "acdc", "discover", "ioi", "--n", "40", "--tau", "0.001", "-o", "speculation=1"]
    process = subprocess.Popen([*command, "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 400 for path in tmp_path.rglob("checkpoint.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert "stopped; the same command goes on from here" in process.stderr.read()
    assert len(list(tmp_path.rglob("checkpoint.jsonl"))) == 1 and not list(tmp_path.rglob("run.json"))


def test_files_of_several_runs_are_not_read_as_one(run: RunResult, tmp_path: Path) -> None:
    """Numbers of one circuit are never shown beside another one."""
    for name, circuit in (
        ("fewer", dataclasses.replace(run.circuit, mask=run.circuit.mask & False)),
        ("other", dataclasses.replace(run.circuit, provenance={**run.circuit.provenance, "seed": 77})),
    ):
        shutil.copytree(run.path, tmp_path / name)
        circuit.save(tmp_path / name / "circuit.json")
        with pytest.raises(FileError, match="aren't of one run"):
            load_run(tmp_path / name)


def test_a_run_with_older_names_of_options_is_read(run: RunResult, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "old")
    path = tmp_path / "old" / "run.json"
    record = json.loads(path.read_text())
    record["arguments"]["options"] |= {"retention": 0.7, "price": 0.1}
    path.write_text(json.dumps(record))
    options = load_run(path.parent).arguments["options"]
    assert (options["faithfulness"], options["l0_penalty"]) == (0.7, 0.1)
    assert not options.keys() & {"retention", "price"}
