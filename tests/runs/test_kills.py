"""Kills and full disks at every crash point: the same call then gives the same circuit, and nothing is left over."""

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from acdc import PatchableModel, discover, load_run
from acdc.circuits.circuit import Circuit
from acdc.errors import FileError, UnsavedError
from acdc.runs.checkpoint import FileCheckpoint
from tests.runs.test_discover import FILES, Copy
from tests.tiny import tiny_model

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="crash points are reached in a forked process")

ARGUMENTS = {"n": 4, "tau": 0.05, "speculation": 8, "metric": "logit_diff"}
TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.scandir"}
KILLED, DONE = 9, 0


@pytest.fixture(scope="module")
def model() -> PatchableModel:
    return tiny_model("gpt2")


@pytest.fixture(scope="module")
def circuit(model: PatchableModel) -> Circuit:
    return discover(model, Copy, out=None, **ARGUMENTS).circuit


def in_child(work: Callable[[], object]) -> int:
    """The exit code of `work` in a process of its own; what it raises is printed there."""
    process = os.fork()
    if process == 0:
        try:
            work()
            os._exit(DONE)
        except FileError:
            os._exit(3)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def killed_at(point: int, model: PatchableModel, out: Path, told: int | None = None) -> int:
    """Make the run in a process that dies just before it touches the files of the run for the `point`-th time.

    Of point 0 the run ends, and tells in the pipe `told` how often it touched them.
    """

    def work() -> None:
        left = [point]

        def touch() -> None:
            left[0] -= 1
            if left[0] == 0:
                os._exit(KILLED)

        def audit(event: str, arguments: tuple) -> None:
            if event in TOUCHES and str(arguments[0]).startswith(str(out)):
                touch()

        def write(checkpoint: FileCheckpoint, value: object) -> None:
            """Half a line, a kill, the whole line."""
            if left[0] == 1:
                checkpoint._file.write(b'["half')
            touch()
            whole(checkpoint, value)

        whole = FileCheckpoint._write
        FileCheckpoint._write = write
        sys.addaudithook(audit)
        discover(model, Copy, out=out, **ARGUMENTS)
        if told is not None:
            os.write(told, str(left[0]).encode())

    return in_child(work)


def check_finished(model: PatchableModel, out: Path, circuit: Circuit) -> None:
    """The same call again: the same circuit, one run, and nothing but its files."""
    result = discover(model, Copy, out=out, **ARGUMENTS)
    assert result.circuit == circuit
    check_run(result.path, out, circuit)


def check_run(run: Path, out: Path, circuit: Circuit) -> None:
    assert load_run(run).circuit == circuit
    assert sorted(path for path in out.rglob("*") if path.is_file()) == sorted(run / name for name in FILES)


def points(model: PatchableModel, out: Path) -> int:
    """How many crash points the run has."""
    read, write = os.pipe()
    killed_at(0, model, out, write)
    os.close(write)
    with open(read) as pipe:
        return -int(pipe.read())


def check_points(model: PatchableModel, circuit: Circuit, out: Path, wanted: int) -> None:
    n = points(model, out / "counts")
    assert n > 30
    for point in {1 + i * (n - 1) // (wanted - 1) for i in range(wanted)} | set(range(n - 3, n + 1)):
        place = out / str(point)
        assert killed_at(point, model, place) == KILLED
        check_finished(model, place, circuit)


def test_a_run_killed_at_some_points_ends_with_the_same_circuit(
    model: PatchableModel, circuit: Circuit, tmp_path: Path
) -> None:
    check_points(model, circuit, tmp_path, 6)


@pytest.mark.slow
def test_a_run_killed_at_any_point_ends_with_the_same_circuit(
    model: PatchableModel, circuit: Circuit, tmp_path: Path
) -> None:
    check_points(model, circuit, tmp_path, 200)


def test_a_run_killed_again_and_again_ends_with_the_same_circuit(
    model: PatchableModel, circuit: Circuit, tmp_path: Path
) -> None:
    point = 12
    while killed_at(point, model, tmp_path) == KILLED:
        assert len(list(tmp_path.glob("*/*/*/*"))) <= 1
        point += 12
    check_run(*tmp_path.glob("*/*/*/*"), tmp_path, circuit)


@pytest.mark.parametrize("size", [60, 300, 2000, 4000, 8000, 12_000])
def test_a_full_disk_loses_nothing(model: PatchableModel, circuit: Circuit, tmp_path: Path, size: int) -> None:
    """No file may be larger than `size`: writing more fails in the middle, as on a full disk."""

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        discover(model, Copy, out=tmp_path, **ARGUMENTS)

    assert in_child(work) == 3, "an error that tells what couldn't be written"
    checkpoints = [path.read_bytes() for path in tmp_path.rglob("checkpoint.jsonl")]
    assert all(content.endswith(b"\n") for content in checkpoints), "no half line"
    assert size < 100 or len(checkpoints) == 1
    measured = checkpoints[0].count(b"\n") if checkpoints else 0
    assert in_child(work) == 3
    assert [path.read_bytes().count(b"\n") for path in tmp_path.rglob("checkpoint.jsonl")] == [measured] * len(
        checkpoints
    )
    check_finished(model, tmp_path, circuit)


def test_a_result_that_cannot_be_written_is_in_the_error_and_is_written_later_without_a_search(
    model: PatchableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise FileError("can't write run.json: No space left on device")

    for method in ("acdc", "eap"):
        with monkeypatch.context() as patch:
            patch.setattr("acdc.runs.writing.write_json", full)
            with pytest.raises(UnsavedError, match=r"No space left .*; what was found is in the checkpoint") as told:
                discover(model, Copy, method=method, metric="logit_diff", n=4, out=tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("acdc.runs.discover._search", None)
            result = discover(model, Copy, method=method, metric="logit_diff", n=4, out=tmp_path)
        assert result.circuit == told.value.result.circuit and result.record["resumed"]
        assert result.record["claims"] == told.value.result.record["claims"]
        assert result.cost == told.value.result.cost


def test_a_run_killed_between_its_record_and_the_clean_up_is_not_made_again(
    model: PatchableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FileCheckpoint, "discard", FileCheckpoint.close)
        first = discover(model, Copy, out=tmp_path, **ARGUMENTS)
    monkeypatch.setattr("acdc.runs.discover._search", None)
    again = discover(model, Copy, out=tmp_path, **ARGUMENTS)
    assert again.path == first.path and again.record == load_run(first.path).record
    assert not (first.path / "checkpoint.jsonl").exists()


def test_what_killed_runs_left_is_cleared_away_and_nothing_else(model: PatchableModel, tmp_path: Path) -> None:
    runs = tmp_path / "copy" / "gpt2" / "acdc"
    for name in ("empty", "header", "measured", "busy", "new", "mine"):
        (runs / name).mkdir(parents=True)
    dead = max(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()) + 10_000
    for name, process in (("measured", dead), ("mine", os.getpid())):
        (runs / name / f".circuit.json.{process}.tmp").write_bytes(b"half")
    FileCheckpoint(runs / "header" / "checkpoint.jsonl", "f").close()
    with FileCheckpoint(runs / "measured" / "checkpoint.jsonl", "f") as checkpoint:
        checkpoint.append([1.0])
    with FileCheckpoint(runs / "busy" / "checkpoint.jsonl", "f"):
        for folder in runs.iterdir():
            if folder.name != "new":
                os.utime(folder, (1, 1))
        result = discover(model, Copy, out=tmp_path, **ARGUMENTS)
    assert {path.name for path in runs.iterdir()} == {"measured", "busy", "new", "mine", result.path.name}
    assert [path.name for path in (runs / "measured").iterdir()] == ["checkpoint.jsonl"]
    assert len(list((runs / "mine").iterdir())) == 1, "that process lives"
