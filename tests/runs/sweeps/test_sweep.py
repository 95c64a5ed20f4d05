"""Whole sweeps: nothing is run twice, a failing cell doesn't stop the others, and all ends when it is stopped."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import acdc
from acdc.cli import main
from acdc.errors import ACDCError, RunError
from acdc.progress import Progress
from acdc.runs.sweeps import cluster, commands, local
from acdc.runs.sweeps.cells import PlannedCell, plan
from acdc.runs.sweeps.grid import read_grid
from acdc.runs.sweeps.sweep import Sweep

GRID: dict[str, Any] = {
    "defaults": {"model": "induction-compiled", "n": 3},
    "grid": {"task": "induction", "method": ["ifr"], "seed": [0, 1]},
    "cell": [{"task": "induction", "method": "hap", "options": {"start": "nowhere.json"}}],
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def pretend(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let every cell's command be this program, whose arguments are the cell's words."""
    for module in (local, cluster):
        monkeypatch.setattr(module, "full_command", lambda words: [sys.executable, "-c", code, *words])


def three(out: Path) -> list[PlannedCell]:
    return plan(read_grid(GRID), out)


def test_a_sweep_runs_what_is_missing_and_nothing_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = acdc.sweep(GRID, jobs=2)
    assert list(first["state"]) == ["finished", "finished", "failed"]
    assert "nowhere.json" in first["error"][2] and "nowhere.json" in caplog.text
    assert first["path"].notna().tolist() == [True, True, False]
    run = acdc.load_run(first["path"][1])
    row = first.iloc[1]
    assert run.arguments["seed"] == row["seed"] == 1
    assert (row["n_edges"], row["faithfulness"]) == (run.circuit.n_edges, run.metrics["faithfulness"])
    assert row["held_out_accuracy"] == run.metrics["held_out"]["accuracy"]["circuit"]
    files = sorted(path.name for path in Path("outputs/sweeps/sweep").iterdir())
    assert files == ["faithfulness.svg", "logs", "sweep.csv", "time.svg"]
    runs = sorted(Path("outputs").rglob("run.json"))
    grid = {**GRID, "grid": {**GRID["grid"], "seed": [1, 0]}, "cell": []}
    again = acdc.sweep(grid)
    assert sorted(Path("outputs").rglob("run.json")) == runs
    assert list(again["path"]) == [first["path"][1], first["path"][0]]


def test_gathering_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "raise SystemExit('it was run')")
    found = acdc.sweep(GRID, run=False)
    assert list(found["state"]) == ["missing"] * 3 and found["error"].isna().all()


@pytest.mark.fast
def test_threads_are_divided_and_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    pretend(monkeypatch, "import os, sys; print(os.environ['OMP_NUM_THREADS'], sys.argv[1:3])")
    told: list[Progress] = []
    cells = three(tmp_path / "out")
    assert local.run_here(cells, jobs=2, logs=tmp_path, tell=told.append) == {}
    assert {(tmp_path / f"{cell.name}.log").read_text() for cell in cells} == {"4 ['discover', 'induction']\n"}
    assert told[-1].done == told[-1].total == 3
    assert all(int(progress.stage.split()[0]) <= 2 for progress in told)


@pytest.mark.fast
def test_failures_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, sys; print('acdc: no such thing\\n', file=sys.stderr); os.kill(os.getpid(), 9) if '--seed=1' in "
    pretend(monkeypatch, code + "sys.argv else sys.exit('hap' in ' '.join(sys.argv) and 2)")
    cells = three(tmp_path / "out")
    failed = local.run_here(cells, jobs=3, logs=tmp_path, tell=None)
    assert {name: failure.message for name, failure in failed.items()} == {
        cells[1].name: "it was ended by signal 9 (is the memory full? --jobs fewer)",
        cells[2].name: "no such thing",
    }
    assert commands.failure_of(3, tmp_path / "none.log") is not None


@pytest.mark.fast
def test_what_stops_the_sweep_stops_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the way that lets them keep what they have."""
    code = "import signal, time; signal.signal(15, lambda *a: (print('kept', flush=True), exit(143))); print('ready', "
    pretend(monkeypatch, code + "flush=True); time.sleep(60)")
    cells = three(tmp_path / "out")
    logs = [tmp_path / f"{cell.name}.log" for cell in cells[:2]]

    def stop(progress: Progress) -> None:
        if all(log.exists() and "ready" in log.read_text() for log in logs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local.run_here(cells, jobs=2, logs=tmp_path, tell=stop)
    assert [log.read_text() for log in logs] == ["ready\nkept\n"] * 2
    assert not (tmp_path / f"{cells[2].name}.log").exists()
    assert not [p for p in psutil.Process().children() if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_jobs_of_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By submitit's local executor, which takes the same way as Slurm's."""
    pytest.importorskip("submitit")
    made = Sweep.open({**GRID, "grid": {**GRID["grid"], "seed": 0}}, out="outputs").run(cluster="local", jobs=2)
    assert list(made.frame()["state"]) == ["finished", "failed"]
    assert "nowhere.json" in made.frame()["error"][1]


def test_what_stops_the_sweep_cancels_its_jobs(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    folder, (cell, *_) = tmp_path / "jobs", three(tmp_path / "out")
    executor = cluster.executor_of("local", {}, folder=folder, jobs=1)
    started: list[float] = []

    def stop(progress: Progress) -> None:
        started.append(time.monotonic())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cluster.run_on_cluster(executor, [cell], logs=tmp_path, tell=stop)
    end = time.monotonic() + 20
    while any(str(folder) in " ".join(p.cmdline()) for p in psutil.Process().children() if p.status() != "zombie"):
        assert time.monotonic() < end, "the job goes on"
        time.sleep(0.1)


@pytest.mark.fast
def test_a_cancelled_or_timed_out_job_is_submitted_again_as_it_is() -> None:
    pytest.importorskip("submitit")
    job = cluster.ClusterJob(("discover", "ioi"), Path("x.log"))
    assert job.checkpoint().function is job


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("slum", {}, "cluster must be one of slurm, local, not 'slum'"),
        ("slurm", {}, "submitit can't use cluster 'slurm' so"),
        ("local", {"timeout": 3}, "timeout"),
        ("local", {"timeout_min": "long"}, "timeout_min"),
        ("local", {"slurm_party": "gpu"}, "slurm_party"),
    ],
)
def test_a_cluster_that_cant_be_used_is_told(
    name: str, parameters: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))  # no Slurm here
    with pytest.raises(RunError, match=message):
        cluster.executor_of(name, parameters, folder=tmp_path, jobs=1)


@pytest.mark.fast
@pytest.mark.parametrize("jobs", [0, -1, 1001])
def test_jobs_have_bounds(jobs: int) -> None:
    with pytest.raises(ACDCError, match="jobs must be"):
        acdc.sweep(GRID, jobs=jobs)


def test_forecasts_come_from_runs_or_from_a_trial(tmp_path: Path) -> None:
    result = acdc.discover("induction-compiled", "induction", n=3, method="ifr", out="outputs")
    tables = {**GRID, "grid": {**GRID["grid"], "method": ["ifr", "eap-ig-inputs"]}}
    opened = Sweep.open(tables)
    found = opened.forecast(trial=5.0)
    assert [each.basis for each in found[:4]] == ["done", "runs like it", "a trial, to its end", "a trial, to its end"]
    assert found[0].seconds == 0 and found[1].seconds == pytest.approx(result.record["seconds"]["total"])
    assert found[2] == found[3] and found[2].seconds is not None and not found[2].at_least
    assert found[4].seconds is None and "nowhere.json" in found[4].basis
    assert [each.basis for each in opened.forecast(trial=0.0)[2:]] == ["no run like it"] * 3


def test_a_trial_ends_when_its_time_is_over(tmp_path: Path) -> None:
    tables = {"cell": [{"task": "ioi", "model": "acdc-small", "n": 20, "options": {"sweeps": 1, "tau": 1e-9}}]}
    (found,) = Sweep.open(tables).forecast(trial=0.05)
    assert found.at_least and found.basis == "a trial" and found.seconds is not None and found.seconds > 0.05


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(
        '[defaults]\nmodel = "induction-compiled"\nn = 3\n[grid]\ntask = "induction"\nmethod = ["ifr", "random"]\n'
        'seed = [0, 1]\n[[cell]]\ntask = "induction"\nmethod = "hap"\noptions = { start = "nowhere.json" }\n'
    )
    acdc.discover("induction-compiled", "induction", n=3, method="ifr", out="outputs")
    assert main(["sweep", "grid.toml", "--print"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0].startswith("acdc discover induction --model=induction-compiled --method=ifr")
    assert main(["sweep", "grid.toml", "--dry-run", "--trial", "0"]) == 0
    said = capsys.readouterr().out
    assert "5 cells: task induction, model induction-compiled" in said and "4 cells to run" in said
    assert main(["sweep", "grid.toml", "--dry-run", "--trial", "0", "--json"]) == 0
    assert [row["basis"] for row in json.loads(capsys.readouterr().out)][:2] == ["done", "runs like it"]
    assert main(["sweep", "grid.toml", "--gather"]) == 0
    said = capsys.readouterr().out
    assert "1 of 2" in said and "outputs/sweeps/grid/sweep.csv" in said
    assert main(["sweep", "grid.toml", "--gather", "--json"]) == 0
    assert [row["state"] for row in json.loads(capsys.readouterr().out)] == ["finished", *["missing"] * 4]
    assert main(["sweep", "grid.toml", "--gather", "--print"]) == 2
    assert "give one of" in capsys.readouterr().err


def test_the_command_fails_where_a_cell_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "grid.toml"
    file.write_text('[[cell]]\ntask = "induction"\nmethod = "hap"\noptions = { start = "nowhere.json" }\n')
    assert main(["sweep", "grid.toml", "--quiet"]) == 1
    said = capsys.readouterr()
    assert "nowhere.json" in said.err and str(Path("outputs", "sweeps", "grid", "logs")) in said.err and not said.out


@pytest.mark.fast
def test_a_folder_that_cant_be_made_is_told(tmp_path: Path) -> None:
    Path("outputs").mkdir()
    Path("outputs", "sweeps").write_text("")
    with pytest.raises(ACDCError, match="can't make the folder"):
        acdc.sweep(GRID)
    assert os.listdir("outputs") == ["sweeps"]
